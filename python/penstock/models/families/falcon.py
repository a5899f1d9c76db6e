"""Falcon: 7B with one key-value head and one norm for both halves in parallel, 40B with groups of heads and a norm for
each half, RW with a key-value head for every head and halves one after the other."""

from __future__ import annotations

from penstock.layers.leaf import Stored, TensorNames
from penstock.layers.spec import AttentionSpec, MlpSpec
from penstock.models.families import build
from penstock.models.hf_config import HfConfig
from penstock.models.hf_rope import read_rope
from penstock.models.spec import DecoderSpec, LayerSpec

ALIASES = {"num_key_value_heads": "num_kv_heads"}

TOP_TENSORS = {
    "embed": ("transformer.word_embeddings.weight",),
    "final_norm": ("transformer.ln_f.weight",),
    "final_norm_bias": ("transformer.ln_f.bias",),
    "lm_head": ("lm_head.weight",),
}

_LAYER = "transformer.h.{layer}."

_LAYER_TENSORS: TensorNames = {
    "qkv": Stored((_LAYER + "self_attention.query_key_value.weight",), is_woven=True),
    "qkv_bias": Stored((_LAYER + "self_attention.query_key_value.bias",), is_woven=True),
    "o": (_LAYER + "self_attention.dense.weight",),
    "o_bias": (_LAYER + "self_attention.dense.bias",),
    "up": (_LAYER + "mlp.dense_h_to_4h.weight",),
    "up_bias": (_LAYER + "mlp.dense_h_to_4h.bias",),
    "down": (_LAYER + "mlp.dense_4h_to_h.weight",),
    "down_bias": (_LAYER + "mlp.dense_4h_to_h.bias",),
}


def layer_tensors(config: HfConfig) -> TensorNames:
    """The norms are called otherwise where parallel halves have one each."""
    names = ("ln_attn", "ln_mlp") if _has_two_norms(config) else ("input_layernorm", "post_attention_layernorm")
    norms = {
        f"{half}_norm{suffix}": (f"{_LAYER}{name}.{kind}",)
        for half, name in zip(("attn", "mlp"), names, strict=True)
        for suffix, kind in (("", "weight"), ("_bias", "bias"))
    }
    return {**_LAYER_TENSORS, **norms}


def spec(config: HfConfig) -> DecoderSpec:
    """FalconConfig of transformers."""
    config.refuse("alibi")
    norm = build.layer_norm(config, field="layer_norm_epsilon")
    size = config.integer("ffn_hidden_size", default=4 * config.integer("hidden_size"))
    mlp = MlpSpec(size, config.activation("activation", default="gelu"), has_bias=config.flag("bias"), is_gated=False)
    is_parallel = _is_new(config) or config.flag("parallel_attn", default=True)
    layer = LayerSpec(
        _attention(config),
        mlp,
        norm,
        is_parallel=is_parallel,
        has_one_norm=is_parallel and not _has_two_norms(config),
    )
    return build.decoder(config, [layer] * config.num_layers, norm, is_tied=True)


def _is_new(config: HfConfig) -> bool:
    return config.flag("new_decoder_architecture")


def _has_two_norms(config: HfConfig) -> bool:
    return _is_new(config) and config.integer("num_ln_in_parallel_attn", default=2) == 2


def _attention(config: HfConfig) -> AttentionSpec:
    """`num_kv_heads` is read where there are groups; else there is one key-value head, or one for every head."""
    num_heads, has_bias = config.integer("num_attention_heads"), config.flag("bias")
    num_kv_heads = config.integer("num_key_value_heads", default=num_heads)
    if not _is_new(config) and config.flag("multi_query", default=True):
        num_kv_heads = 1
    return AttentionSpec(
        num_heads,
        num_kv_heads,
        config.integer("hidden_size") // num_heads,
        read_rope(config),
        has_qkv_bias=has_bias,
        has_o_bias=has_bias,
    )
