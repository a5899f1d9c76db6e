"""gpt-oss: sinks, a window on every other layer, and experts with biases and a clamped gate, published as MXFP4."""

from __future__ import annotations

from dataclasses import replace

from penstock.layers.leaf import Stored, TensorNames
from penstock.layers.moe_spec import ClampedGate, MoeSpec, RouterSpec
from penstock.layers.rope_spec import RopeSpec
from penstock.models.families import llama
from penstock.models.hf_config import HfConfig
from penstock.models.hf_rope import read_rope, rope_table
from penstock.models.spec import DecoderSpec

_MLP = "model.layers.{layer}.mlp."
_EXPERTS = _MLP + "experts."

#: Where a config has no rope parameters.
ROPE = {
    "rope_type": "yarn",
    "factor": 32.0,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "truncate": False,
    "original_max_position_embeddings": 4096,
}


def _expert_matrix(name: str, *, is_alternating: bool = False) -> Stored:
    """Of all experts: packed, as [out, in], or plain, as [in, out]."""
    plain = Stored((_EXPERTS + name,), has_inputs_first=True, is_alternating=is_alternating)
    packed = (_EXPERTS + name + "_blocks", _EXPERTS + name + "_scales")
    return Stored(packed, is_alternating=is_alternating, encoding="mxfp4", or_else=plain)


LAYER_TENSORS: TensorNames = {
    **llama.LAYER_TENSORS,
    "sinks": ("model.layers.{layer}.self_attn.sinks",),
    "router": (_MLP + "router.weight",),
    "router_bias": (_MLP + "router.bias",),
    "experts_gate_up": _expert_matrix("gate_up_proj", is_alternating=True),
    "experts_gate_up_bias": Stored((_EXPERTS + "gate_up_proj_bias",), is_alternating=True),
    "experts_down": _expert_matrix("down_proj"),
    "experts_down_bias": (_EXPERTS + "down_proj_bias",),
}


def experts(config: HfConfig) -> MoeSpec:
    router = RouterSpec(
        config.integer("num_local_experts", default=128),
        config.integer("num_experts_per_tok", default=4),
        is_renormalised=True,
        has_bias=True,
    )
    gate = ClampedGate(config.number("swiglu_alpha", default=1.702), config.number("swiglu_limit", default=7.0))
    return MoeSpec(config.integer("intermediate_size", default=2880), router, gate, has_bias=True)


def rope(config: HfConfig) -> RopeSpec:
    return read_rope(config, theta=150000.0, table=rope_table(config) or ROPE)


def spec(config: HfConfig) -> DecoderSpec:
    """GptOssConfig of transformers."""
    has_bias = config.flag("attention_bias", default=True)
    attention = replace(
        llama.attention(config, head_dim=64),
        rope=rope(config),
        has_qkv_bias=has_bias,
        has_o_bias=has_bias,
        has_sinks=True,
    )
    windows = config.windows(config.sliding_window(default=128), full_every=2)
    return llama.decoder(config, attention, experts(config), windows=windows)
