"""Qwen 3 with mixtures of experts, weighed by the softmax over all."""

from __future__ import annotations

from dataclasses import replace

from penstock.layers.leaf import TensorNames
from penstock.layers.moe_spec import MoeSpec, RouterSpec
from penstock.layers.spec import NormSpec
from penstock.models.families import llama, qwen3
from penstock.models.hf_config import HfConfig
from penstock.models.hf_moe import dense_mlp, experts_of_each, sparse_layers, with_dense_layers
from penstock.models.spec import DecoderSpec

_MLP = "model.layers.{layer}.mlp."

LAYER_TENSORS: TensorNames = {**qwen3.LAYER_TENSORS, "router": (_MLP + "gate.weight",), **experts_of_each(_MLP)}

#: transformers 5 writes the second name.
ALIASES = {"num_experts": "num_local_experts"}


def experts(config: HfConfig, *, num_experts: int, num_chosen: int, size: int) -> MoeSpec:
    """Of Qwen3MoeConfig and its kin. The arguments: where the config names none."""
    router = RouterSpec(
        config.integer("num_experts", default=num_experts),
        config.integer("num_experts_per_tok", default=num_chosen),
        is_renormalised=config.flag("norm_topk_prob"),
    )
    return MoeSpec(config.integer("moe_intermediate_size", default=size), router, config.activation())


def spec(config: HfConfig) -> DecoderSpec:
    """Qwen3MoeConfig of transformers. A window, where it is on, is one of all layers."""
    norm = NormSpec(config.number("rms_norm_eps", default=1e-6))
    attention = replace(llama.attention(config), qk_norm=norm)
    window = config.sliding_window() if config.flag("use_sliding_window") else None
    windows = (window,) * config.num_layers
    mixture = experts(config, num_experts=128, num_chosen=8, size=768)
    decoder = llama.decoder(config, attention, mixture, windows=windows)
    return with_dense_layers(decoder, sparse_layers(config), dense_mlp(config))
