"""The body and the answer of POST /v1/embeddings."""

from __future__ import annotations

import base64
from typing import Any, ClassVar, Literal, Self

import numpy as np
import orjson
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from penstock.errors import ApiError
from penstock.protocol.common import GenerationBody, Limits, Parsed
from penstock.protocol.completions import Prompt, prompts_of
from penstock.protocol.fields import check_extra
from penstock.protocol.parse import check_ids, invalid, read

#: OpenAI's limit.
MAX_INPUTS = 2048

_EXAMPLES: list[JsonValue] = [{"input": "The quick brown fox"}, {"input": ["one", "two"], "encoding_format": "base64"}]
#: Fields of other servers that would change the answer -> their neutral values, beside null.
_NOT_BUILT: dict[str, tuple[Any, ...]] = {
    "truncate_prompt_tokens": (),
    "add_special_tokens": (True,),
    "messages": (),
    "normalize": (),
    "embed_dtype": ("float32",),
    "prompt_name": (),
    "input_type": (),
}


class EmbeddingRequest(GenerationBody):
    """Texts or token ids, to be turned into vectors.

    Attributes:
        model: may be left out where one model is served.
        input: one text, or the token ids of one; or several of a kind.
        dimensions: only so many of a vector's first numbers; default: all.
        encoding_format: as numbers, or as the bytes of little-endian float32 in base64.
        user: changes nothing.
    """

    model_config = ConfigDict(json_schema_extra={"examples": _EXAMPLES})

    dialect: ClassVar[str] = "embeddings"

    model: str | None = Field(None, min_length=1, max_length=512)
    input: Prompt
    dimensions: int | None = Field(None, ge=1, le=2**31 - 1)
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None

    @classmethod
    def parse(cls, body: bytes, limits: Limits) -> Parsed[Self]:
        """Reads the body. Raises ApiError, with `param`, on anything wrong."""
        request = read(cls, body, limits)
        warnings = check_extra(request.model_extra or {}, _NOT_BUILT, limits)
        inputs = request.inputs
        if not inputs:
            raise invalid("input", "must not be an empty array")
        if len(inputs) > MAX_INPUTS:
            raise invalid("input", f"must be an array of at most {MAX_INPUTS} items, not {len(inputs)}")
        for each in inputs:
            if isinstance(each, list):
                check_ids(each, param="input")
            elif not each:
                raise invalid("input", "must not hold an empty string")
        return Parsed(request, warnings)

    @property
    def inputs(self) -> list[str] | list[list[int]]:
        """Each by itself."""
        return prompts_of(self.input)

    def check_dimensions(self, size: int) -> None:
        """Raises ApiError where more are asked for than the model's vectors have."""
        if self.dimensions is not None and self.dimensions > size:
            raise invalid("dimensions", f"must be at most {size}, the model's own")


class Embedding(BaseModel):
    """One vector. Attributes: index: of the input that it is of."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(BaseModel):
    """Tokens of all inputs."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingResponse(BaseModel):
    """A vector for each input, in their order."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


def write_embeddings(vectors: np.ndarray, *, model: str, num_tokens: int, as_base64: bool) -> bytes:
    """The JSON of an `EmbeddingResponse`, of float32 [inputs, dimensions]. Takes long for many: to be called off the
    loop."""
    rows = [_base64(row) for row in vectors] if as_base64 else list(np.ascontiguousarray(vectors))
    return orjson.dumps(
        {
            "object": "list",
            "data": [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(rows)],
            "model": model,
            "usage": {"prompt_tokens": num_tokens, "total_tokens": num_tokens},
        },
        option=orjson.OPT_SERIALIZE_NUMPY,
    )


def _base64(row: np.ndarray) -> str:
    return base64.b64encode(row.astype("<f4").tobytes()).decode()


def no_embeddings() -> ApiError:
    """Of a model that makes none."""
    return ApiError("unsupported_parameter", "This model makes no embeddings.", param="model")
