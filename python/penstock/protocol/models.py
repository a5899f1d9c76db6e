"""The bodies of GET /v1/models and GET /v1/models/{id}: OpenAI's objects, and what Penstock tells beside them."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Literal

from pydantic import BaseModel

from penstock.abilities import Abilities
from penstock.generation import SamplingDefaults


class ModelCapabilities(BaseModel):
    """What requests to a model may use, beside text: what its engine says (`Abilities`)."""

    completions: bool = True
    chat: bool = False
    tool_calling: bool = False
    streaming: bool = True
    token_prompts: bool = False
    token_output: bool = False
    structured_outputs: bool = False
    logprobs: bool = False
    penalties: bool = False
    logit_bias: bool = False
    vision: bool = False
    reasoning: bool = False
    embeddings: bool = False

    @classmethod
    def of(cls, abilities: Abilities) -> ModelCapabilities:
        """Under the names that clients know."""
        names = cls.model_fields.keys() & {field.name for field in fields(abilities)}
        told = {name: getattr(abilities, name) for name in names}
        return cls(tool_calling=abilities.tools, structured_outputs=abilities.json, **told)


class ModelSamplingDefaults(BaseModel):
    """What a request gets where it says nothing, and which file says so."""

    temperature: float
    top_p: float
    top_k: int
    min_p: float
    source: str

    @classmethod
    def of(cls, defaults: SamplingDefaults) -> ModelSamplingDefaults:
        return cls(
            temperature=defaults.temperature,
            top_p=defaults.top_p,
            top_k=defaults.top_k,
            min_p=defaults.min_p,
            source=defaults.source,
        )


class ModelFormats(BaseModel):
    """By which formats the answer's tool calls and thoughts are read from what the model writes; null: by none."""

    tool: str | None = None
    reasoning: str | None = None


class ModelObject(BaseModel):
    """One model.

    Attributes:
        created: Unix seconds at which the server began to serve it.
        max_model_len: prompt and new tokens together.
        info: what else the adapter tells of it (`InferenceEngineAdapter.get_model_info`): architecture, dtype, pages.
    """

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "penstock"
    max_model_len: int | None = None
    capabilities: ModelCapabilities | None = None
    formats: ModelFormats | None = None
    sampling_defaults: ModelSamplingDefaults | None = None
    info: dict[str, Any] | None = None


class ModelList(BaseModel):
    """All models."""

    object: Literal["list"] = "list"
    data: list[ModelObject]
