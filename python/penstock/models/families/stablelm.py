"""StableLM: Llama with layer norms and a quarter of each head rotated; in 2 12B halves in parallel, q and k normed."""

from __future__ import annotations

from dataclasses import replace

from penstock.layers.leaf import Stored, TensorNames
from penstock.models.families import build, llama, nemotron
from penstock.models.hf_config import HfConfig
from penstock.models.hf_rope import read_rope
from penstock.models.spec import DecoderSpec, LayerSpec

_ATTENTION = "model.layers.{layer}.self_attn."


def layer_tensors(config: HfConfig) -> TensorNames:
    """Norms of q and k are stored head by head."""
    num_heads = config.integer("num_attention_heads")
    heads = {"q": num_heads, "k": config.integer("num_key_value_heads", default=32)}
    return nemotron.LAYER_TENSORS | {
        f"{part}_norm": Stored(
            tuple(f"{_ATTENTION}{part}_layernorm.norms.{head}.weight" for head in range(size)), is_part_each=True
        )
        for part, size in heads.items()
    }


def spec(config: HfConfig) -> DecoderSpec:
    """StableLmConfig of transformers."""
    norm = build.layer_norm(config)
    rope = read_rope(config, head_dim=build.head_size(config), share=0.25)
    attention = build.attention(config, rope, num_kv_heads=32, has_qkv_bias=config.flag("use_qkv_bias"))
    if config.flag("qk_layernorm"):
        attention = replace(attention, qk_norm=replace(norm, has_bias=False), qk_norm_over="own")
    is_parallel = config.flag("use_parallel_residual")
    mlp = llama.feed_forward(config)
    layer = LayerSpec(attention, mlp, norm, is_parallel=is_parallel, has_one_norm=is_parallel)
    return build.decoder(config, [layer] * config.num_layers, norm)
