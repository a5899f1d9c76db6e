"""Mistral: Llama with a sliding window on every layer."""

from __future__ import annotations

from dataclasses import replace

from penstock.models.families import llama
from penstock.models.hf_config import HfConfig
from penstock.models.spec import DecoderSpec


def spec(config: HfConfig) -> DecoderSpec:
    """MistralConfig of transformers."""
    return replace(
        llama.spec(config),
        windows=config.windows(config.sliding_window()),
        has_qkv_bias=False,
        has_o_bias=False,
        has_mlp_bias=False,
    )
