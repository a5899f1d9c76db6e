"""GPT-NeoX and Pythia: attention and MLP in parallel, each with a layer norm; q, k and v woven head by head."""

from __future__ import annotations

from penstock.layers.leaf import Stored, TensorNames
from penstock.models.families import build
from penstock.models.hf_config import HfConfig
from penstock.models.hf_rope import read_rope
from penstock.models.spec import DecoderSpec, LayerSpec

ALIASES = {"rope_theta": "rotary_emb_base", "partial_rotary_factor": "rotary_pct"}

TOP_TENSORS = {
    "embed": ("gpt_neox.embed_in.weight",),
    "final_norm": ("gpt_neox.final_layer_norm.weight",),
    "final_norm_bias": ("gpt_neox.final_layer_norm.bias",),
    "lm_head": ("embed_out.weight",),
}

_LAYER = "gpt_neox.layers.{layer}."

LAYER_TENSORS: TensorNames = {
    "attn_norm": (_LAYER + "input_layernorm.weight",),
    "attn_norm_bias": (_LAYER + "input_layernorm.bias",),
    "qkv": Stored((_LAYER + "attention.query_key_value.weight",), is_woven=True),
    "qkv_bias": Stored((_LAYER + "attention.query_key_value.bias",), is_woven=True),
    "o": (_LAYER + "attention.dense.weight",),
    "o_bias": (_LAYER + "attention.dense.bias",),
    "mlp_norm": (_LAYER + "post_attention_layernorm.weight",),
    "mlp_norm_bias": (_LAYER + "post_attention_layernorm.bias",),
    "up": (_LAYER + "mlp.dense_h_to_4h.weight",),
    "up_bias": (_LAYER + "mlp.dense_h_to_4h.bias",),
    "down": (_LAYER + "mlp.dense_4h_to_h.weight",),
    "down_bias": (_LAYER + "mlp.dense_4h_to_h.bias",),
}


def spec(config: HfConfig) -> DecoderSpec:
    """GPTNeoXConfig of transformers."""
    norm = build.layer_norm(config)
    has_bias = config.flag("attention_bias", default=True)
    rope = read_rope(config, head_dim=build.head_size(config), share=0.25)
    attention = build.attention(config, rope, is_multi_head=True, has_qkv_bias=has_bias, has_o_bias=has_bias)
    mlp = build.plain_mlp(config, "gelu", has_bias=True)
    layer = LayerSpec(attention, mlp, norm, is_parallel=config.flag("use_parallel_residual", default=True))
    return build.decoder(config, [layer] * config.num_layers, norm)
