"""A GGUF file, which has tensors, config, tokenizer and chat template: what its header says, and its tensors. No jax.

The header is read and checked in Rust (`_core.GgufFile`); what its keys mean for a model is `penstock.models`' to say.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from penstock._core import BLOCK_TYPES, GgufFile, dequantize
from penstock.errors import ModelError

MAGIC = b"GGUF"

#: Types whose numbers lie as they are.
PLAIN_DTYPES = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype(ml_dtypes.bfloat16)}
#: Types of blocks: several numbers that share a scale, along the inputs of a matrix.
BLOCK_DTYPES = tuple(BLOCK_TYPES)

#: Blocks that are taken apart at once.
_BYTES_AT_ONCE = 1 << 20

#: The keys of chat templates, and the one that lists the names of those that are not the default.
_TEMPLATE, _TEMPLATES = "tokenizer.chat_template", "tokenizer.chat_templates"


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """One stored tensor.

    Attributes:
        dtype: ggml's name of its type, as "Q4_K".
        shape: as numpy has it, [out, in] of a matrix.
        start: its first byte in the file.
    """

    file: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    num_bytes: int


@dataclass(frozen=True)
class GgufModel:
    """A file's header.

    Attributes:
        metadata: all keys but those of the vocabulary.
    """

    path: Path
    header: GgufFile
    metadata: dict[str, Any]

    @cached_property
    def tensors(self) -> dict[str, GgufTensor]:
        """By name."""
        return {
            name: GgufTensor(self.path, kind, tuple(shape), start, num_bytes)
            for name, kind, shape, start, num_bytes in self.header.tensors
        }

    @property
    def stop_ids(self) -> list[int]:
        """The tokens that end a text. ModelError on a vocabulary that contradicts itself."""
        try:
            return self.header.end_ids
        except ValueError as error:
            raise ModelError(f"{self.path} {error}") from None

    def tokenizer(self) -> tuple[bytes, dict[str, Any]]:
        """What a folder's tokenizer.json and tokenizer_config.json would hold. ModelError on a kind of tokenizer that
        is not built."""
        try:
            data, config = self.header.tokenizer()
        except ValueError as error:
            raise ModelError(f"{self.path} {error}") from None
        return data, {**config, "chat_template": self._templates()}

    def _templates(self) -> list[dict[str, str]]:
        names = self.metadata.get(_TEMPLATES, [])
        keys = {"default": _TEMPLATE} | {name: f"{_TEMPLATE}.{name}" for name in names if isinstance(name, str)}
        found = {name: self.metadata.get(key) for name, key in keys.items()}
        return [{"name": name, "template": text} for name, text in found.items() if isinstance(text, str)]


def is_gguf(path: Path) -> bool:
    """Whether a path is a GGUF file, by its name or its first bytes."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as stream:
            return path.suffix == ".gguf" or stream.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def read_gguf(path: Path) -> GgufModel:
    """The header of a file. ModelError, with the name of the key or the tensor, if it is refused."""
    try:
        header = GgufFile.read(str(path))
    except ValueError as error:
        raise ModelError(f"{path} {error}") from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from None
    return GgufModel(path, header, header.metadata)


def read_tensor(tensor: GgufTensor, part: tuple[slice, ...] | None = None) -> np.ndarray:
    """A tensor's numbers, or a part of them: plain ones as they are stored, others as float32.

    Args:
        part: a slice for each of the first axes.

    Raises:
        ModelError: the file has changed since it was checked.
    """
    *rows, last = (*(part or ()), *(slice(None) for _ in tensor.shape[len(part or ()) :])) or (slice(None),)
    stored = _stored_rows(tensor)[tuple(rows)]
    if tensor.dtype in PLAIN_DTYPES:
        plain: np.ndarray = stored.view(PLAIN_DTYPES[tensor.dtype])[..., last]
        return plain if tensor.shape else plain.reshape(())
    return _dequantized(stored, tensor)[..., last]


def read_blocks(tensor: GgufTensor, part: tuple[slice, ...] | None = None) -> np.ndarray:
    """The bytes of a tensor's blocks, uint8 [*rows, bytes of a row], as they lie in the file, which stays mapped.

    Args:
        part: a slice for each of the first axes, but the last one.
    """
    return _stored_rows(tensor)[part or ()]


def _stored_rows(tensor: GgufTensor) -> np.ndarray:
    """The bytes [*rows, bytes of a row], mapped."""
    rows = tensor.shape[:-1]
    try:
        data = np.memmap(tensor.file, np.uint8, "r", tensor.start, (*rows, tensor.num_bytes // math.prod(rows)))
    except (OSError, ValueError) as error:
        raise ModelError(f"{tensor.file} cannot be read any more: {error}") from None
    return np.asarray(data)


def _dequantized(stored: np.ndarray, tensor: GgufTensor) -> np.ndarray:
    rows = np.ascontiguousarray(stored).reshape(-1, stored.shape[-1])
    out = np.empty((len(rows), tensor.shape[-1]), np.float32)
    at_once = max(_BYTES_AT_ONCE // rows.shape[1], 1)
    for first in range(0, len(rows), at_once):
        numbers = np.frombuffer(dequantize(tensor.dtype, rows[first : first + at_once].data), np.float32)
        out[first : first + at_once] = numbers.reshape(-1, tensor.shape[-1])
    return out.reshape(*stored.shape[:-1], tensor.shape[-1])
