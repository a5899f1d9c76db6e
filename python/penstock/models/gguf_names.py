"""Which tensors of a GGUF file a leaf is put together from. Unlike Hugging Face's, the names are those of all families.

Matrices lie as [out, in]. What a conversion has merged lies part after part; experts lie in one tensor.
"""

from __future__ import annotations

from penstock.layers.latent_spec import LatentAttentionSpec
from penstock.layers.leaf import HeadPart, Stored, TensorNames
from penstock.layers.spec import AttentionSpec
from penstock.models.spec import DecoderSpec

TOP_TENSORS: TensorNames = {
    "embed": ("token_embd.weight",),
    "positions": ("position_embd.weight",),
    "final_norm": ("output_norm.weight",),
    "final_norm_bias": ("output_norm.bias",),
    "lm_head": ("output.weight",),
    "lm_head_bias": ("output.bias",),
}

_LAYER = "blk.{layer}."


def _tensors(*names: str, kind: str = "weight") -> tuple[str, ...]:
    return tuple(f"{_LAYER}{name}.{kind}" for name in names)


def _either(names: tuple[str, ...], *others: str, kind: str = "weight") -> Stored:
    return Stored(_tensors(*names, kind=kind), or_else=Stored(_tensors(*others, kind=kind)))


def _with_bias(leaf: str, names: tuple[str, ...], *others: str) -> TensorNames:
    """A leaf and its bias, each in one tensor for every part or in another one for all."""
    kinds = {leaf: "weight", leaf + "_bias": "bias"}
    if not others:
        return {name: _tensors(*names, kind=kind) for name, kind in kinds.items()}
    return {name: _either(names, *others, kind=kind) for name, kind in kinds.items()}


LAYER_TENSORS: TensorNames = {
    **_with_bias("attn_norm", ("attn_norm",)),
    **_with_bias("mlp_norm", ("ffn_norm",), "post_attention_norm"),
    **_with_bias("attn_post_norm", ("post_attention_norm",)),
    **_with_bias("mlp_post_norm", ("post_ffw_norm",)),
    **_with_bias("qkv", ("attn_q", "attn_k", "attn_v"), "attn_qkv"),
    **_with_bias("o", ("attn_output",)),
    **_with_bias("q_norm", ("attn_q_norm",)),
    **_with_bias("k_norm", ("attn_k_norm",)),
    "sinks": _tensors("attn_sinks"),
    **_with_bias("gate_up", ("ffn_gate", "ffn_up"), "ffn_up"),
    **_with_bias("up", ("ffn_up",)),
    **_with_bias("down", ("ffn_down",)),
    **_with_bias("router", ("ffn_gate_inp",)),
    "router_correction": _tensors("exp_probs_b", kind="bias"),
    **_with_bias("experts_gate_up", ("ffn_gate_exps", "ffn_up_exps"), "ffn_gate.{expert}", "ffn_up.{expert}"),
    **_with_bias("experts_down", ("ffn_down_exps",), "ffn_down.{expert}"),
    **_with_bias("shared_gate_up", ("ffn_gate_shexp", "ffn_up_shexp")),
    **_with_bias("shared_down", ("ffn_down_shexp",)),
    "shared_gate": _tensors("ffn_gate_inp_shexp"),
}

#: Falcon with a norm for each half.
_TWO_NORMS: TensorNames = {
    **_with_bias("attn_norm", ("attn_norm_2",), "attn_norm"),
    **_with_bias("mlp_norm", ("attn_norm",)),
}


def layer_tensors(architecture: str, spec: DecoderSpec) -> TensorNames:
    attention = spec.layers[0].attention
    if isinstance(attention, AttentionSpec):
        return {**LAYER_TENSORS, **(_TWO_NORMS if architecture == "falcon" else {})}
    return {**LAYER_TENSORS, **_latent(attention)}


def _latent(attention: LatentAttentionSpec) -> TensorNames:
    """Keys' and values' matrices have tensors of their own, the former transposed; in older files they share one."""
    of_head = attention.plain_size + attention.value_size
    older = {"k_up": HeadPart(0, of_head), "v_up": HeadPart(attention.plain_size, of_head)}
    newer = {"k_up": Stored(_tensors("attn_k_b"), has_inputs_first=True), "v_up": Stored(_tensors("attn_v_b"))}
    return {
        "kv_down": _tensors("attn_kv_a_mqa"),
        "kv_norm": _tensors("attn_kv_a_norm"),
        **{
            leaf: Stored(
                stored.names,
                has_inputs_first=stored.has_inputs_first,
                or_else=Stored(_tensors("attn_kv_b"), head_part=older[leaf]),
            )
            for leaf, stored in newer.items()
        },
        "q": _tensors("attn_q" if attention.query_rank is None else "attn_q_b"),
        "q_down": _tensors("attn_q_a"),
        "q_norm": _tensors("attn_q_a_norm"),
    }
