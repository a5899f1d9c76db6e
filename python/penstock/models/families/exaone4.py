"""EXAONE 4: norms after attention and MLP, one on each head of q and k, rope only where there is a window."""

from __future__ import annotations

from dataclasses import replace

from penstock.models.families import build, llama
from penstock.models.hf_config import HfConfig
from penstock.models.hf_rope import read_rope
from penstock.models.spec import DecoderSpec, LayerSpec, windowed


def spec(config: HfConfig) -> DecoderSpec:
    """Exaone4Config of transformers. Where no layer has a window, all have rope."""
    norm, window = build.rms_norm(config, eps=1e-5), config.sliding_window()
    attention = build.attention(config, read_rope(config), num_kv_heads=32, qk_norm=norm)
    sliding = LayerSpec(attention, llama.feed_forward(config), norm, norms="after")
    full = sliding if window is None else replace(sliding, attention=replace(attention, rope=None))
    return build.decoder(config, windowed(full, _windows(config, window), sliding), norm)


def _windows(config: HfConfig, window: int | None) -> tuple[int | None, ...]:
    """Published configs spell the pattern out: "LLLG". Without a window it says nothing."""
    if window is None:
        return config.windows(None)
    pattern = config.get("sliding_window_pattern", 4)
    every = len(pattern) if isinstance(pattern, str) else config.integer("sliding_window_pattern", default=4)
    return config.windows(window, full_every=every)
