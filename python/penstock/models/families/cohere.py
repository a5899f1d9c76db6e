"""Command R: attention and MLP in parallel after one layer norm without bias, neighbouring numbers rotated."""

from __future__ import annotations

from dataclasses import replace

from penstock.layers.spec import AttentionSpec, NormSpec
from penstock.models.families import build, llama
from penstock.models.hf_config import HfConfig
from penstock.models.hf_rope import read_rope
from penstock.models.spec import DecoderSpec, LayerSpec, windowed

_LAYER = "model.layers.{layer}."

LAYER_TENSORS = {
    **llama.LAYER_TENSORS,
    "q_norm": (_LAYER + "self_attn.q_norm.weight",),
    "k_norm": (_LAYER + "self_attn.k_norm.weight",),
}


def attention(config: HfConfig, *, theta: float) -> AttentionSpec:
    has_bias = config.flag("attention_bias")
    rope = replace(read_rope(config, theta=theta), is_interleaved=True)
    return build.attention(config, rope, has_qkv_bias=has_bias, has_o_bias=has_bias)


def layer(config: HfConfig, attention: AttentionSpec, norm: NormSpec) -> LayerSpec:
    return LayerSpec(attention, llama.feed_forward(config), norm, is_parallel=True, has_one_norm=True)


def decoder(config: HfConfig, layers: tuple[LayerSpec, ...], norm: NormSpec) -> DecoderSpec:
    scale = config.number("logit_scale", default=0.0625)
    return build.decoder(config, layers, norm, is_tied=True, logit_scale=scale)


def spec(config: HfConfig) -> DecoderSpec:
    """CohereConfig of transformers."""
    norm = build.layer_norm(config, has_bias=False)
    heads = attention(config, theta=5e5)
    if config.flag("use_qk_norm"):
        heads = replace(heads, qk_norm=norm, qk_norm_over="own")
    return decoder(config, (layer(config, heads, norm),) * config.num_layers, norm)


def cohere2_spec(config: HfConfig) -> DecoderSpec:
    """Cohere2Config of transformers: three layers with a window to one without, and rope only where there is one."""
    norm = build.layer_norm(config, has_bias=False)
    heads = attention(config, theta=1e4)
    sliding, full = (layer(config, each, norm) for each in (heads, replace(heads, rope=None)))
    every = config.integer("sliding_window_pattern", default=4)
    windows = config.windows(config.sliding_window(), full_every=every)
    return decoder(config, windowed(full, windows, sliding), norm)
