"""Qwen 3, dense: Llama with an RMS norm on each head of q and k, and a head size of its own."""

from __future__ import annotations

from dataclasses import replace

from penstock.models.families import llama, qwen2
from penstock.models.hf_config import HfConfig
from penstock.models.spec import DecoderSpec

LAYER_TENSORS = {
    **llama.LAYER_TENSORS,
    "q_norm": ("model.layers.{layer}.self_attn.q_norm.weight",),
    "k_norm": ("model.layers.{layer}.self_attn.k_norm.weight",),
}


def spec(config: HfConfig) -> DecoderSpec:
    """Qwen3Config of transformers."""
    return replace(
        llama.spec(config),
        head_dim=config.integer("head_dim", default=128),
        windows=qwen2.windows(config),
        has_mlp_bias=False,
        has_qk_norm=True,
    )
