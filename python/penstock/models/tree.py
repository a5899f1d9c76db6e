"""The leaves of a decoder's weights: their names, shapes and the parts they are put together from. No jax.

The tree is `{"embed", "final_norm", "lm_head"?, "layers": ({leaf: array}, ...)}`. Matrices lie `[in, out]`, which is
what XLA's CPU matrix product reads fastest (12 layers of 768 x 4096 and their kin, batch 8: 28 ms against 39 for
`[out, in]`); q, k, v and gate, up are fused along `out`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from penstock.models.spec import DecoderSpec


@dataclass(frozen=True, slots=True)
class LeafSpec:
    """One array of the tree.

    Attributes:
        shape: as the decoder uses it.
        parts: sizes along the last axis of the tensors that may be stored apart; one entry when there is one.
        is_projection: a linear layer's matrix, which checkpoints store `[out, in]`.
    """

    name: str
    shape: tuple[int, ...]
    parts: tuple[int, ...]
    is_projection: bool = False

    @property
    def size(self) -> int:
        return prod(self.shape)


def _vector(name: str, *parts: int) -> LeafSpec:
    return LeafSpec(name, (sum(parts),), parts)


def _projection(name: str, num_in: int, *parts: int) -> LeafSpec:
    return LeafSpec(name, (num_in, sum(parts)), parts, is_projection=True)


def top_leaves(spec: DecoderSpec) -> tuple[LeafSpec, ...]:
    """The leaves outside the layers."""
    embed = LeafSpec("embed", (spec.vocab_size, spec.hidden_size), (spec.hidden_size,))
    head = () if spec.is_tied else (_projection("lm_head", spec.hidden_size, spec.vocab_size),)
    return embed, _vector("final_norm", spec.hidden_size), *head


def layer_leaves(spec: DecoderSpec) -> tuple[LeafSpec, ...]:
    """The leaves of each layer."""
    hidden, inner = spec.hidden_size, spec.intermediate_size
    qkv = (spec.q_size, spec.kv_size, spec.kv_size)
    leaves = [
        _vector("attn_norm", hidden),
        _projection("qkv", hidden, *qkv),
        _projection("o", spec.q_size, hidden),
        _vector("mlp_norm", hidden),
        _projection("gate_up", hidden, inner, inner),
        _projection("down", inner, hidden),
    ]
    if spec.has_qkv_bias:
        leaves.append(_vector("qkv_bias", *qkv))
    if spec.has_o_bias:
        leaves.append(_vector("o_bias", hidden))
    if spec.has_mlp_bias:
        leaves += [_vector("gate_up_bias", inner, inner), _vector("down_bias", hidden)]
    if spec.has_qk_norm:
        leaves += [_vector("q_norm", spec.head_dim), _vector("k_norm", spec.head_dim)]
    return tuple(leaves)


def num_parameters(spec: DecoderSpec) -> int:
    """How many numbers the tree holds."""
    per_layer = sum(leaf.size for leaf in layer_leaves(spec))
    return sum(leaf.size for leaf in top_leaves(spec)) + spec.num_layers * per_layer
