"""OLMo: Llama with layer norms that have no weights; q, k and v may be clipped."""

from __future__ import annotations

from penstock.layers.spec import NormSpec
from penstock.models.families import build, llama
from penstock.models.hf_config import HfConfig
from penstock.models.hf_rope import read_rope
from penstock.models.spec import DecoderSpec, LayerSpec


def spec(config: HfConfig) -> DecoderSpec:
    """OlmoConfig of transformers, where the norms' epsilon is no field."""
    norm = NormSpec(1e-5, "layer", has_weight=False)
    has_bias = config.flag("attention_bias")
    attention = build.attention(
        config,
        read_rope(config),
        has_qkv_bias=has_bias,
        has_o_bias=has_bias,
        qkv_limit=config.maybe_number("clip_qkv"),
    )
    layer = LayerSpec(attention, llama.feed_forward(config), norm)
    return build.decoder(config, [layer] * config.num_layers, norm)
