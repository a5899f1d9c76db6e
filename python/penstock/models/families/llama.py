"""Llama 2 and 3: RMS norms, grouped queries, rotary positions, a gated MLP."""

from __future__ import annotations

from dataclasses import replace

from penstock.layers.spec import AttentionSpec, MlpSpec
from penstock.models.families import build
from penstock.models.hf_config import HfConfig
from penstock.models.hf_rope import read_rope
from penstock.models.spec import Attention, DecoderSpec, FeedForward, LayerSpec, windowed

TOP_TENSORS = {
    "embed": ("model.embed_tokens.weight",),
    "final_norm": ("model.norm.weight",),
    "lm_head": ("lm_head.weight",),
}

_ATTENTION = "model.layers.{layer}.self_attn."
_MLP = "model.layers.{layer}.mlp."

LAYER_TENSORS = {
    "attn_norm": ("model.layers.{layer}.input_layernorm.weight",),
    "qkv": (_ATTENTION + "q_proj.weight", _ATTENTION + "k_proj.weight", _ATTENTION + "v_proj.weight"),
    "qkv_bias": (_ATTENTION + "q_proj.bias", _ATTENTION + "k_proj.bias", _ATTENTION + "v_proj.bias"),
    "o": (_ATTENTION + "o_proj.weight",),
    "o_bias": (_ATTENTION + "o_proj.bias",),
    "mlp_norm": ("model.layers.{layer}.post_attention_layernorm.weight",),
    "gate_up": (_MLP + "gate_proj.weight", _MLP + "up_proj.weight"),
    "gate_up_bias": (_MLP + "gate_proj.bias", _MLP + "up_proj.bias"),
    "down": (_MLP + "down_proj.weight",),
    "down_bias": (_MLP + "down_proj.bias",),
}


def attention(config: HfConfig, *, head_dim: int | None = None) -> AttentionSpec:
    """Of LlamaConfig of transformers, with its defaults. `head_dim`: where the config names none."""
    has_bias = config.flag("attention_bias")
    return build.attention(config, read_rope(config), head_dim=head_dim, has_qkv_bias=has_bias, has_o_bias=has_bias)


def feed_forward(config: HfConfig) -> MlpSpec:
    """Without biases, as in all families but this one."""
    return MlpSpec(config.integer("intermediate_size"), config.activation())


def decoder(
    config: HfConfig, attention: Attention, feed_forward: FeedForward, *, windows: tuple[int | None, ...]
) -> DecoderSpec:
    """Layers that differ in their window alone."""
    norm = build.rms_norm(config)
    return build.decoder(config, windowed(LayerSpec(attention, feed_forward, norm), windows), norm)


def spec(config: HfConfig) -> DecoderSpec:
    """LlamaConfig of transformers."""
    mlp = replace(feed_forward(config), has_bias=config.flag("mlp_bias"))
    return decoder(config, attention(config), mlp, windows=config.windows(None))
