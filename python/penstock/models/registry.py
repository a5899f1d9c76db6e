"""Which family serves which architecture. A new family is a file in `families/` and a row here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from penstock.errors import ModelError
from penstock.layers.leaf import TensorNames
from penstock.models.families import llama, mistral, qwen2, qwen3
from penstock.models.hf_config import HfConfig
from penstock.models.spec import DecoderSpec


@dataclass(frozen=True, slots=True)
class Family:
    """A model family as data.

    Attributes:
        architecture: as `architectures` of config.json names it.
        spec: reads the config.
        top_tensors: leaf outside the layers → the tensors that it is put together from.
        layer_names: leaf of a layer → its tensors, `{layer}` standing for the layer's number; or what tells them, where
            they follow the config.
        aliases: the family's own names of config fields.
    """

    architecture: str
    model_type: str
    spec: Callable[[HfConfig], DecoderSpec]
    top_tensors: TensorNames
    layer_names: TensorNames | Callable[[HfConfig], TensorNames]
    aliases: Mapping[str, str] = field(default_factory=dict)

    def reader(self, config: Mapping[str, Any]) -> HfConfig:
        return HfConfig(config, self.aliases)

    def layer_tensors(self, config: HfConfig) -> TensorNames:
        return self.layer_names(config) if callable(self.layer_names) else self.layer_names


FAMILIES = (
    Family("LlamaForCausalLM", "llama", llama.spec, llama.TOP_TENSORS, llama.LAYER_TENSORS),
    Family("MistralForCausalLM", "mistral", mistral.spec, llama.TOP_TENSORS, llama.LAYER_TENSORS),
    Family("Qwen2ForCausalLM", "qwen2", qwen2.spec, llama.TOP_TENSORS, llama.LAYER_TENSORS),
    Family("Qwen3ForCausalLM", "qwen3", qwen3.spec, llama.TOP_TENSORS, qwen3.LAYER_TENSORS),
)


def find_family(config: Mapping[str, Any]) -> Family:
    """The family of a config, by `architectures`, or by `model_type` where a config names no architecture."""
    named = config.get("architectures") or []
    if not isinstance(named, list):
        raise ModelError(f"config.json: architectures must be a list of names, found a {type(named).__name__}")
    for family in FAMILIES:
        if family.architecture in named or (not named and config.get("model_type") == family.model_type):
            return family
    found = ", ".join(map(str, named)) or config.get("model_type") or "none"
    supported = ", ".join(family.architecture for family in FAMILIES)
    raise ModelError(f"config.json: architecture {found} is not supported, expected one of {supported}")
