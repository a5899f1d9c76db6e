"""Qwen 1.5 and 2 with mixtures of experts beside an MLP that every token takes a share of."""

from __future__ import annotations

from dataclasses import replace

from penstock.layers.leaf import TensorNames
from penstock.layers.spec import MlpSpec
from penstock.models.families import llama, qwen3_moe
from penstock.models.hf_config import HfConfig
from penstock.models.hf_moe import dense_mlp, experts_of_each, shared_mlp, sparse_layers, with_dense_layers
from penstock.models.spec import DecoderSpec

_MLP = "model.layers.{layer}.mlp."

LAYER_TENSORS: TensorNames = {
    **llama.LAYER_TENSORS,
    "router": (_MLP + "gate.weight",),
    "shared_gate": (_MLP + "shared_expert_gate.weight",),
    **experts_of_each(_MLP),
    **shared_mlp(_MLP + "shared_expert."),
}


def windows(config: HfConfig) -> tuple[int | None, ...]:
    """Off in published configs; where it is on, every other of the first layers has it."""
    if not config.flag("use_sliding_window"):
        return config.windows(None)
    last = config.integer("max_window_layers", default=28, at_least=0)
    by_turns = config.windows(config.sliding_window(), full_every=2)
    if config.get("layer_types", None) is not None:
        return by_turns
    return tuple(window if layer < last else None for layer, window in enumerate(by_turns))


def spec(config: HfConfig) -> DecoderSpec:
    """Qwen2MoeConfig of transformers."""
    attention = replace(llama.attention(config), has_qkv_bias=config.flag("qkv_bias", default=True), has_o_bias=False)
    shared = MlpSpec(config.integer("shared_expert_intermediate_size", default=5632), config.activation())
    experts = replace(
        qwen3_moe.experts(config, num_experts=60, num_chosen=4, size=1408), shared=shared, has_shared_gate=True
    )
    decoder = llama.decoder(config, attention, experts, windows=windows(config))
    return with_dense_layers(decoder, sparse_layers(config), dense_mlp(config))
