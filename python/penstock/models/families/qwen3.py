"""Qwen 3, dense: Llama with an RMS norm on each head of q and k, and a head size of its own."""

from __future__ import annotations

from dataclasses import replace

from penstock.layers.spec import NormSpec
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
    norm = NormSpec(config.number("rms_norm_eps", default=1e-6))
    attention = replace(llama.attention(config, head_dim=128), qk_norm=norm)
    return llama.decoder(config, attention, llama.feed_forward(config), windows=qwen2.windows(config))
