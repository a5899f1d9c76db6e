"""StarCoder 2: layer norms, biases everywhere, an MLP without a gate, a sliding window."""

from __future__ import annotations

from penstock.models.families import build, nemotron
from penstock.models.hf_config import HfConfig
from penstock.models.hf_rope import read_rope
from penstock.models.spec import DecoderSpec, LayerSpec, windowed

_MLP = "model.layers.{layer}.mlp."

LAYER_TENSORS = {
    **nemotron.LAYER_TENSORS,
    "up": (_MLP + "c_fc.weight",),
    "up_bias": (_MLP + "c_fc.bias",),
    "down": (_MLP + "c_proj.weight",),
    "down_bias": (_MLP + "c_proj.bias",),
}


def spec(config: HfConfig) -> DecoderSpec:
    """Starcoder2Config of transformers."""
    norm = build.layer_norm(config, field="norm_epsilon")
    has_bias = config.flag("use_bias", default=True)
    attention = build.attention(config, read_rope(config), num_kv_heads=2, has_qkv_bias=has_bias, has_o_bias=has_bias)
    layer = LayerSpec(attention, build.plain_mlp(config, "gelu_pytorch_tanh", has_bias=has_bias), norm)
    windows = (config.sliding_window(default=None),) * config.num_layers
    return build.decoder(config, windowed(layer, windows), norm, is_tied=True)
