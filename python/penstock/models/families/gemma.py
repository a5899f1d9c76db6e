"""Gemma: norm weights that lack 1, an embedding scaled by the square root of the width, GELU. Gemma 2: norms on both
sides, soft caps, a window on every other layer. Gemma 3: a norm on q and k, five windowed layers to a full one, each
kind with its own rope, and no soft caps."""

from __future__ import annotations

from dataclasses import replace

from penstock.layers.spec import AttentionSpec, MlpSpec, NormSpec
from penstock.models.families import build, llama
from penstock.models.hf_config import HfConfig
from penstock.models.hf_rope import read_rope, rope_tables
from penstock.models.spec import DecoderSpec, LayerSpec, windowed

_LAYER = "model.layers.{layer}."

LAYER_TENSORS = {
    **llama.LAYER_TENSORS,
    "q_norm": (_LAYER + "self_attn.q_norm.weight",),
    "k_norm": (_LAYER + "self_attn.k_norm.weight",),
    "attn_post_norm": (_LAYER + "post_attention_layernorm.weight",),
    "mlp_norm": (_LAYER + "pre_feedforward_layernorm.weight",),
    "mlp_post_norm": (_LAYER + "post_feedforward_layernorm.weight",),
}

_GELU = "gelu_pytorch_tanh"


def spec(config: HfConfig) -> DecoderSpec:
    """GemmaConfig of transformers. The first configs say "gelu" and mean its tanh form."""
    norm = build.rms_norm(config, plus_one=True)
    config.refuse("use_bidirectional_attention")
    activation = config.activation(default=_GELU)
    mlp = MlpSpec(config.integer("intermediate_size"), "gelu_tanh" if activation == "gelu" else activation)
    attention = replace(_attention(config, num_kv_heads=16), rope=read_rope(config))
    return _decoder(config, (LayerSpec(attention, mlp, norm),) * config.num_layers, norm)


def gemma2_spec(config: HfConfig) -> DecoderSpec:
    """Gemma2Config of transformers."""
    attention = replace(
        _attention(config, num_kv_heads=4),
        rope=read_rope(config),
        score_scale=config.number("query_pre_attn_scalar", default=256) ** -0.5,
        soft_cap=config.maybe_number("attn_logit_softcapping", default=50.0),
    )
    layer = _layer(config, attention)
    windows = config.windows(config.sliding_window(), full_every=2)
    cap = config.maybe_number("final_logit_softcapping", default=30.0)
    return replace(_decoder(config, windowed(layer, windows), layer.norm), logit_soft_cap=cap)


def gemma3_spec(config: HfConfig) -> DecoderSpec:
    """Gemma3TextConfig of transformers, which reads no soft cap for scores."""
    tables = rope_tables(config, theta=1e6, sliding_theta=1e4, sliding_field="rope_local_base_freq")
    sliding, full = (read_rope(config, table=table) for table in tables)
    attention = replace(
        _attention(config, num_kv_heads=4),
        rope=full,
        score_scale=config.number("query_pre_attn_scalar", default=256) ** -0.5,
        qk_norm=build.rms_norm(config, plus_one=True),
    )
    layer = _layer(config, attention)
    every = config.integer("sliding_window_pattern", default=6)
    windows = config.windows(config.sliding_window(), full_every=every)
    layers = windowed(layer, windows, replace(layer, attention=replace(attention, rope=sliding)))
    cap = config.maybe_number("final_logit_softcapping")
    return replace(_decoder(config, layers, layer.norm), logit_soft_cap=cap)


def _attention(config: HfConfig, *, num_kv_heads: int) -> AttentionSpec:
    has_bias = config.flag("attention_bias")
    return build.attention(
        config, None, head_dim=256, num_kv_heads=num_kv_heads, has_qkv_bias=has_bias, has_o_bias=has_bias
    )


def _layer(config: HfConfig, attention: AttentionSpec) -> LayerSpec:
    """Of Gemma 2 and 3."""
    config.refuse("use_bidirectional_attention")
    mlp = MlpSpec(config.integer("intermediate_size"), config.activation("hidden_activation", default=_GELU))
    return LayerSpec(attention, mlp, build.rms_norm(config, plus_one=True), norms="both")


def _decoder(config: HfConfig, layers: tuple[LayerSpec, ...], norm: NormSpec) -> DecoderSpec:
    scale = config.integer("hidden_size") ** 0.5
    return build.decoder(config, layers, norm, is_tied=True, embed_scale=scale)
