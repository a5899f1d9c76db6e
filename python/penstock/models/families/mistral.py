"""Mistral: Llama with a sliding window on every layer."""

from __future__ import annotations

from dataclasses import replace

from penstock.models.families import llama
from penstock.models.hf_config import HfConfig
from penstock.models.spec import DecoderSpec


def spec(config: HfConfig) -> DecoderSpec:
    """MistralConfig of transformers, which reads no `layer_types`."""
    attention = replace(llama.attention(config), has_qkv_bias=False, has_o_bias=False)
    windows = (config.sliding_window(),) * config.num_layers
    return llama.decoder(config, attention, llama.feed_forward(config), windows=windows)
