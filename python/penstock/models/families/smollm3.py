"""SmolLM 3: Llama where every fourth layer has no positions; a sliding window on those only where it is asked for."""

from __future__ import annotations

from dataclasses import replace

from penstock.errors import ModelError
from penstock.models.families import build, llama
from penstock.models.hf_config import HfConfig, shown
from penstock.models.hf_rope import read_rope
from penstock.models.spec import DecoderSpec, LayerSpec


def spec(config: HfConfig) -> DecoderSpec:
    """SmolLM3Config of transformers."""
    norm, has_bias = build.rms_norm(config), config.flag("attention_bias")
    rope = read_rope(config, theta=2e6)
    attention = build.attention(config, rope, num_kv_heads=4, has_qkv_bias=has_bias, has_o_bias=has_bias)
    mlp = replace(llama.feed_forward(config), has_bias=config.flag("mlp_bias"))
    layers = [
        LayerSpec(replace(attention, rope=rope if is_rotated else None, window=window), mlp, norm)
        for is_rotated, window in zip(_rotated(config), _windows(config), strict=True)
    ]
    return build.decoder(config, layers, norm, is_tied=True)


def _rotated(config: HfConfig) -> list[bool]:
    """`no_rope_layers`, where 1 says that a layer has rope."""
    interval = config.integer("no_rope_layer_interval", default=4)
    given = config.get("no_rope_layers", [(i + 1) % interval != 0 for i in range(config.num_layers)])
    if not isinstance(given, list) or len(given) < config.num_layers or not all(each in (0, 1) for each in given):
        raise ModelError(f"config.json: no_rope_layers must be 0 or 1 for each layer, found {shown(given)}")
    return [bool(each) for each in given[: config.num_layers]]


def _windows(config: HfConfig) -> tuple[int | None, ...]:
    window = config.sliding_window(default=None)
    if window is None or not config.flag("use_sliding_window"):
        return (None,) * config.num_layers
    if config.get("layer_types", None) is not None:
        return config.windows(window)
    return tuple(None if is_rotated else window for is_rotated in _rotated(config))
