"""The bodies of GET /v1/models and GET /v1/models/{id}: OpenAI's objects, and what Penstock tells beside them."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Literal

from pydantic import BaseModel

from penstock.abilities import Abilities
from penstock.generation import SamplingDefaults

#: An ability -> what clients know it as, where that is another name.
_TOLD_AS = {"tools": "tool_calling", "json": "structured_outputs"}
_ABILITIES = [field.name for field in fields(Abilities) if isinstance(field.default, bool)]


def capabilities_of(abilities: Abilities) -> dict[str, bool]:
    """What requests to a model may use, by the names that clients know: what its engine says."""
    told = {_TOLD_AS.get(name, name): getattr(abilities, name) for name in _ABILITIES}
    return {"completions": True, "streaming": True} | told


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
        capabilities: what requests to it may use, as {"chat": true} (`capabilities_of`).
        info: what else the adapter tells of it (`InferenceEngineAdapter.get_model_info`): architecture, dtype, pages.
    """

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "penstock"
    max_model_len: int | None = None
    capabilities: dict[str, bool] | None = None
    formats: ModelFormats | None = None
    sampling_defaults: ModelSamplingDefaults | None = None
    info: dict[str, Any] | None = None


class ModelList(BaseModel):
    """All models."""

    object: Literal["list"] = "list"
    data: list[ModelObject]
