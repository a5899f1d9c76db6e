"""Qwen 2 and 2.5: Llama with a bias on q, k and v; a sliding window only where it is asked for."""

from __future__ import annotations

from dataclasses import replace

from penstock.models.families import llama
from penstock.models.hf_config import HfConfig
from penstock.models.spec import DecoderSpec


def windows(config: HfConfig) -> tuple[int | None, ...]:
    """Published configs name a `sliding_window` and switch it off; where it is on, the first layers stay full."""
    if not config.flag("use_sliding_window"):
        return config.windows(None)
    first = config.integer("max_window_layers", default=28, at_least=0)
    return config.windows(config.sliding_window(), first_layer=first)


def spec(config: HfConfig) -> DecoderSpec:
    """Qwen2Config of transformers."""
    attention = replace(llama.attention(config), has_qkv_bias=True, has_o_bias=False)
    return llama.decoder(config, attention, llama.feed_forward(config), windows=windows(config))
