"""Granite: Llama with multipliers on embedding, scores, residual and logits."""

from __future__ import annotations

from dataclasses import replace

from penstock.models.families import build, llama
from penstock.models.hf_config import HfConfig
from penstock.models.spec import DecoderSpec, LayerSpec


def spec(config: HfConfig) -> DecoderSpec:
    """GraniteConfig of transformers."""
    norm = build.rms_norm(config)
    attention = replace(llama.attention(config), score_scale=config.number("attention_multiplier", default=1.0))
    mlp = replace(llama.feed_forward(config), has_bias=config.flag("mlp_bias"))
    layer = LayerSpec(attention, mlp, norm, residual_scale=config.number("residual_multiplier", default=1.0))
    return build.decoder(
        config,
        [layer] * config.num_layers,
        norm,
        embed_scale=config.number("embedding_multiplier", default=1.0),
        logit_scale=1 / config.number("logits_scaling", default=1.0),
    )
