"""Which family serves which architecture. A new family is a file in `families/` and a row here."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from penstock.errors import ModelError
from penstock.layers.leaf import Stored, TensorNames
from penstock.models.families import (
    cohere,
    deepseek,
    exaone4,
    falcon,
    gemma,
    glm4,
    glm4_moe,
    gpt2,
    gpt_oss,
    granite,
    llama,
    mistral,
    mixtral,
    nemotron,
    olmo,
    olmo2,
    olmo3,
    phi,
    phi3,
    qwen2,
    qwen2_moe,
    qwen3,
    qwen3_moe,
    smollm3,
    stablelm,
    starcoder2,
)  # fmt: skip
from penstock.models.families import gpt_neox as neox
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
        encodings: of quantized weights that are unpacked on load, as `quant_method` names them.
    """

    architecture: str
    model_type: str
    spec: Callable[[HfConfig], DecoderSpec]
    top_tensors: TensorNames
    layer_names: TensorNames | Callable[[HfConfig], TensorNames]
    aliases: Mapping[str, str] = field(default_factory=dict)
    encodings: tuple[str, ...] = ()

    def reader(self, config: Mapping[str, Any]) -> HfConfig:
        return HfConfig(config, self.aliases)

    def layer_tensors(self, config: HfConfig) -> TensorNames:
        return self.layer_names(config) if callable(self.layer_names) else self.layer_names

    @property
    def base_architecture(self) -> str:
        """Of the same decoder without an output head, which embedding models are, as "Qwen3Model"."""
        return re.sub("(ForCausalLM|LMHeadModel)$", "Model", self.architecture)

    def is_headless(self, config: Mapping[str, Any]) -> bool:
        """Whether a config of this family asks for no output head."""
        named = config.get("architectures") or []
        return self.base_architecture in named and self.architecture not in named

    def as_stored(self, tensors: Container[str]) -> Family:
        """The family with the names that a checkpoint has: one that was saved without its head lacks their first part
        ("model." of "model.embed_tokens.weight"), as transformers reads it too."""
        (name,) = stored_as(self.top_tensors["embed"]).names
        prefix = name.partition(".")[0] + "."
        if name in tensors or name.removeprefix(prefix) not in tensors:
            return self

        def bare(names: TensorNames) -> TensorNames:
            return {leaf: stored_as(each).without_prefix(prefix) for leaf, each in names.items()}

        return replace(
            self, top_tensors=bare(self.top_tensors), layer_names=lambda config: bare(self.layer_tensors(config))
        )


def stored_as(names: tuple[str, ...] | Stored) -> Stored:
    return names if isinstance(names, Stored) else Stored(names)


FAMILIES = (
    Family("LlamaForCausalLM", "llama", llama.spec, llama.TOP_TENSORS, llama.LAYER_TENSORS),
    Family("MistralForCausalLM", "mistral", mistral.spec, llama.TOP_TENSORS, llama.LAYER_TENSORS),
    Family("Qwen2ForCausalLM", "qwen2", qwen2.spec, llama.TOP_TENSORS, llama.LAYER_TENSORS),
    Family("Qwen3ForCausalLM", "qwen3", qwen3.spec, llama.TOP_TENSORS, qwen3.LAYER_TENSORS),
    Family("CohereForCausalLM", "cohere", cohere.spec, llama.TOP_TENSORS, cohere.LAYER_TENSORS),
    Family("Cohere2ForCausalLM", "cohere2", cohere.cohere2_spec, llama.TOP_TENSORS, cohere.LAYER_TENSORS),
    Family("Exaone4ForCausalLM", "exaone4", exaone4.spec, llama.TOP_TENSORS, olmo2.LAYER_TENSORS),
    Family("FalconForCausalLM", "falcon", falcon.spec, falcon.TOP_TENSORS, falcon.layer_tensors, falcon.ALIASES),
    Family("GemmaForCausalLM", "gemma", gemma.spec, llama.TOP_TENSORS, llama.LAYER_TENSORS),
    Family("Gemma2ForCausalLM", "gemma2", gemma.gemma2_spec, llama.TOP_TENSORS, gemma.LAYER_TENSORS),
    Family("Gemma3ForCausalLM", "gemma3_text", gemma.gemma3_spec, llama.TOP_TENSORS, gemma.LAYER_TENSORS),
    Family("GlmForCausalLM", "glm", glm4.glm_spec, llama.TOP_TENSORS, glm4.GLM_LAYER_TENSORS),
    Family("Glm4ForCausalLM", "glm4", glm4.spec, llama.TOP_TENSORS, glm4.LAYER_TENSORS),
    Family("GPT2LMHeadModel", "gpt2", gpt2.spec, gpt2.TOP_TENSORS, gpt2.LAYER_TENSORS, gpt2.ALIASES),
    Family("GPTNeoXForCausalLM", "gpt_neox", neox.spec, neox.TOP_TENSORS, neox.LAYER_TENSORS, neox.ALIASES),
    Family("GraniteForCausalLM", "granite", granite.spec, llama.TOP_TENSORS, llama.LAYER_TENSORS),
    Family("NemotronForCausalLM", "nemotron", nemotron.spec, nemotron.TOP_TENSORS, nemotron.LAYER_TENSORS),
    Family("OlmoForCausalLM", "olmo", olmo.spec, llama.TOP_TENSORS, llama.LAYER_TENSORS),
    Family("Olmo2ForCausalLM", "olmo2", olmo2.spec, llama.TOP_TENSORS, olmo2.LAYER_TENSORS),
    Family("Olmo3ForCausalLM", "olmo3", olmo3.spec, llama.TOP_TENSORS, olmo2.LAYER_TENSORS),
    Family("PhiForCausalLM", "phi", phi.spec, phi.TOP_TENSORS, phi.LAYER_TENSORS),
    Family("Phi3ForCausalLM", "phi3", phi3.spec, llama.TOP_TENSORS, phi3.LAYER_TENSORS),
    Family("SmolLM3ForCausalLM", "smollm3", smollm3.spec, llama.TOP_TENSORS, llama.LAYER_TENSORS),
    Family("StableLmForCausalLM", "stablelm", stablelm.spec, nemotron.TOP_TENSORS, stablelm.layer_tensors),
    Family("Starcoder2ForCausalLM", "starcoder2", starcoder2.spec, nemotron.TOP_TENSORS, starcoder2.LAYER_TENSORS),
    Family("MixtralForCausalLM", "mixtral", mixtral.spec, llama.TOP_TENSORS, mixtral.LAYER_TENSORS),
    Family("Qwen2MoeForCausalLM", "qwen2_moe", qwen2_moe.spec, llama.TOP_TENSORS, qwen2_moe.LAYER_TENSORS),
    Family("Qwen3MoeForCausalLM", "qwen3_moe", qwen3_moe.spec, llama.TOP_TENSORS,
           qwen3_moe.LAYER_TENSORS, qwen3_moe.ALIASES),
    Family("Glm4MoeForCausalLM", "glm4_moe", glm4_moe.spec, llama.TOP_TENSORS, glm4_moe.LAYER_TENSORS),
    Family("DeepseekV2ForCausalLM", "deepseek_v2", deepseek.v2_spec, llama.TOP_TENSORS, deepseek.layer_tensors),
    Family("DeepseekV3ForCausalLM", "deepseek_v3", deepseek.spec, llama.TOP_TENSORS, deepseek.layer_tensors),
    Family("GptOssForCausalLM", "gpt_oss", gpt_oss.spec, llama.TOP_TENSORS, gpt_oss.LAYER_TENSORS,
           encodings=("mxfp4",)),
)  # fmt: skip


def find_family(config: Mapping[str, Any]) -> Family:
    """The family of a config, by `architectures`, or by `model_type` where a config names no architecture."""
    named = config.get("architectures") or []
    if not isinstance(named, list):
        raise ModelError(f"config.json: architectures must be a list of names, found a {type(named).__name__}")
    names = {each for each in named if isinstance(each, str)}
    for family in FAMILIES:
        is_meant = names & {family.architecture, family.base_architecture}
        if is_meant or (not named and config.get("model_type") == family.model_type):
            return family
    found = ", ".join(map(str, named)) or str(config.get("model_type") or "none")
    supported = ", ".join(family.model_type for family in FAMILIES)
    raise ModelError(
        f"config.json: architecture {found[:60]} is not supported, expected one of the families {supported}"
    )
