"""Mixtral: Mistral with a mixture of experts, weighed by the softmax over the chosen."""

from __future__ import annotations

from dataclasses import replace

from penstock.layers.leaf import TensorNames
from penstock.layers.moe_spec import MoeSpec, RouterSpec
from penstock.models.families import llama
from penstock.models.hf_config import HfConfig
from penstock.models.hf_moe import experts_of_each
from penstock.models.hf_rope import read_rope
from penstock.models.spec import DecoderSpec

_MOE = "model.layers.{layer}.block_sparse_moe."

LAYER_TENSORS: TensorNames = {
    **llama.LAYER_TENSORS,
    "router": (_MOE + "gate.weight",),
    **experts_of_each(_MOE, gate="w1", up="w3", down="w2", together="model.layers.{layer}.mlp."),
}


def spec(config: HfConfig) -> DecoderSpec:
    """MixtralConfig of transformers."""
    router = RouterSpec(
        config.integer("num_local_experts", default=8),
        config.integer("num_experts_per_tok", default=2),
        is_renormalised=True,
    )
    attention = replace(
        llama.attention(config), rope=read_rope(config, theta=1e6), has_qkv_bias=False, has_o_bias=False
    )
    experts = MoeSpec(config.integer("intermediate_size"), router, config.activation())
    windows = config.windows(config.sliding_window(default=None))
    return llama.decoder(config, attention, experts, windows=windows)
