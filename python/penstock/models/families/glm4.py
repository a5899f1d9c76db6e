"""GLM 4: four norms to a layer, neighbouring numbers of half of each head rotated, a fused gate/up matrix."""

from __future__ import annotations

from dataclasses import replace

from penstock.layers.spec import AttentionSpec
from penstock.models.families import build, llama
from penstock.models.hf_config import HfConfig
from penstock.models.hf_rope import read_rope
from penstock.models.spec import DecoderSpec, LayerSpec

_LAYER = "model.layers.{layer}."

#: GLM, before it had norms behind attention and MLP.
GLM_LAYER_TENSORS = {**llama.LAYER_TENSORS, "gate_up": (_LAYER + "mlp.gate_up_proj.weight",)}
LAYER_TENSORS = {
    **GLM_LAYER_TENSORS,
    "attn_post_norm": (_LAYER + "post_self_attn_layernorm.weight",),
    "mlp_post_norm": (_LAYER + "post_mlp_layernorm.weight",),
}


def attention(config: HfConfig) -> AttentionSpec:
    rope = read_rope(config, head_dim=build.head_size(config, 128), share=0.5)
    return build.attention(
        config,
        replace(rope, is_interleaved=True),
        head_dim=128,
        num_kv_heads=2,
        has_qkv_bias=config.flag("attention_bias", default=True),
    )


def glm_spec(config: HfConfig) -> DecoderSpec:
    """GlmConfig of transformers."""
    norm = build.rms_norm(config, eps=1.5625e-7)
    layer = LayerSpec(attention(config), llama.feed_forward(config), norm)
    return build.decoder(config, [layer] * config.num_layers, norm)


def spec(config: HfConfig) -> DecoderSpec:
    """Glm4Config of transformers."""
    norm = build.rms_norm(config, eps=1.5625e-7)
    layer = LayerSpec(attention(config), llama.feed_forward(config), norm, norms="both")
    return build.decoder(config, [layer] * config.num_layers, norm)
