"""Phi 3 and 4: Llama with fused matrices, a sliding window, and a rope with other frequencies for long sequences."""

from __future__ import annotations

from penstock.models.families import build, llama
from penstock.models.hf_config import HfConfig
from penstock.models.hf_rope import read_rope
from penstock.models.spec import DecoderSpec, LayerSpec, windowed

_LAYER = "model.layers.{layer}."

LAYER_TENSORS = {
    **llama.LAYER_TENSORS,
    "qkv": (_LAYER + "self_attn.qkv_proj.weight",),
    "gate_up": (_LAYER + "mlp.gate_up_proj.weight",),
}

#: What longrope was once called, by this family alone.
LONGROPE = {"su": "longrope", "yarn": "longrope"}


def spec(config: HfConfig) -> DecoderSpec:
    """Phi3Config of transformers. The context before the stretch is a field of the config, not of its rope."""
    norm = build.rms_norm(config, eps=1e-5)
    original = config.integer("original_max_position_embeddings", default=4096, at_least=2)
    rope = read_rope(config, head_dim=build.head_size(config), share=1.0, original=original, aliases=LONGROPE)
    layer = LayerSpec(build.attention(config, rope), llama.feed_forward(config), norm)
    windows = (config.sliding_window(default=None),) * config.num_layers
    return build.decoder(config, windowed(layer, windows), norm)
