"""GPT-2: learned positions, matrices stored as [in, out], layer norms and biases everywhere."""

from __future__ import annotations

from penstock.layers.leaf import Stored, TensorNames
from penstock.layers.spec import MlpSpec, NormSpec
from penstock.models.families import build
from penstock.models.hf_config import HfConfig
from penstock.models.spec import DecoderSpec, LayerSpec

ALIASES = {
    "hidden_size": "n_embd",
    "max_position_embeddings": "n_positions",
    "num_attention_heads": "n_head",
    "num_hidden_layers": "n_layer",
}

TOP_TENSORS = {
    "embed": ("transformer.wte.weight",),
    "positions": ("transformer.wpe.weight",),
    "final_norm": ("transformer.ln_f.weight",),
    "final_norm_bias": ("transformer.ln_f.bias",),
    "lm_head": ("lm_head.weight",),
}

_LAYER = "transformer.h.{layer}."

LAYER_TENSORS: TensorNames = {
    "attn_norm": (_LAYER + "ln_1.weight",),
    "attn_norm_bias": (_LAYER + "ln_1.bias",),
    "qkv": Stored((_LAYER + "attn.c_attn.weight",), has_inputs_first=True),
    "qkv_bias": (_LAYER + "attn.c_attn.bias",),
    "o": Stored((_LAYER + "attn.c_proj.weight",), has_inputs_first=True),
    "o_bias": (_LAYER + "attn.c_proj.bias",),
    "mlp_norm": (_LAYER + "ln_2.weight",),
    "mlp_norm_bias": (_LAYER + "ln_2.bias",),
    "up": Stored((_LAYER + "mlp.c_fc.weight",), has_inputs_first=True),
    "up_bias": (_LAYER + "mlp.c_fc.bias",),
    "down": Stored((_LAYER + "mlp.c_proj.weight",), has_inputs_first=True),
    "down_bias": (_LAYER + "mlp.c_proj.bias",),
}


def spec(config: HfConfig) -> DecoderSpec:
    """GPT2Config of transformers."""
    config.refuse("add_cross_attention")
    norm = build.layer_norm(config, field="layer_norm_epsilon")
    size = config.integer("n_inner", default=4 * config.integer("hidden_size"))
    activation = config.activation("activation_function", default="gelu_new")
    mlp = MlpSpec(size, activation, has_bias=True, is_gated=False)
    layers = [_layer(config, number, norm, mlp) for number in range(config.num_layers)]
    positions = config.integer("max_position_embeddings", default=1024)
    return build.decoder(config, layers, norm, is_tied=True, num_learned_positions=positions)


def _layer(config: HfConfig, number: int, norm: NormSpec, mlp: MlpSpec) -> LayerSpec:
    scale = build.head_size(config) ** -0.5 if config.flag("scale_attn_weights", default=True) else 1.0
    if config.flag("scale_attn_by_inverse_layer_idx"):
        scale /= number + 1
    attention = build.attention(config, None, is_multi_head=True, score_scale=scale, has_qkv_bias=True, has_o_bias=True)
    return LayerSpec(attention, mlp, norm)
