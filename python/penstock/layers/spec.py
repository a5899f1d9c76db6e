"""The parts of a layer as data: everything that shapes their computation, hashable, and no jax.

A spec names its leaves and, where it remembers tokens, its cache; the function of the same name computes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from penstock.errors import ModelError
from penstock.layers.leaf import LeafSpec, fused_bias, fused_projection, projection, vector

RopeKind = Literal["default", "linear", "llama3"]
Activation = Literal["silu", "gelu_tanh"]


@dataclass(frozen=True, slots=True)
class RopeSpec:
    """Rotary positions: base frequency and how it is stretched for long contexts.

    Attributes:
        theta: base of the geometric series of frequencies.
        factor: "linear" divides every frequency by it, "llama3" only the low ones.
        low_freq_factor, high_freq_factor, original_max_position: "llama3": wavelengths longer than
            original_max_position / low_freq_factor are stretched, those shorter than
            original_max_position / high_freq_factor are kept, those between are blended.
    """

    theta: float
    kind: RopeKind = "default"
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position: int = 0


@dataclass(frozen=True, slots=True)
class CacheSpec:
    """What a layer keeps of every token: a key and a value for each head. How they lie is the attention's choice.

    Attributes:
        dtype: "float32" or "bfloat16"; None takes the engine's.
        page_group: layers of a group share a block table. `DecoderSpec` sets it, by the layers' windows.
    """

    num_heads: int
    head_dim: int
    dtype: str | None = None
    page_group: int = 0

    @property
    def numbers_per_token(self) -> int:
        return 2 * self.num_heads * self.head_dim


@dataclass(frozen=True, slots=True)
class AttentionSpec:
    """Attention of grouped query heads (Ainslie et al., arXiv 2305.13245).

    Attributes:
        score_scale: what query-key products are multiplied by; None is 1/sqrt(head_dim).
        window: how many positions a token sees, itself included; None sees all before it.
        has_qkv_bias, has_o_bias: which projections add a bias.
        qk_norm_eps: of an RMS norm over each head of q and of k, before rotation; None is no norm.
        cache_dtype, page_group: of the layer's cache.
    """

    num_heads: int
    num_kv_heads: int
    head_dim: int
    rope: RopeSpec
    score_scale: float | None = None
    window: int | None = None
    has_qkv_bias: bool = False
    has_o_bias: bool = False
    qk_norm_eps: float | None = None
    cache_dtype: str | None = None
    page_group: int = 0

    def __post_init__(self) -> None:
        if self.num_heads % self.num_kv_heads or self.head_dim % 2:
            raise ModelError(
                f"config.json: {self.num_heads} attention heads of size {self.head_dim} over {self.num_kv_heads} "
                "key-value heads: expected an even head size and a whole number of heads per key-value head"
            )

    @property
    def scale(self) -> float:
        return self.head_dim**-0.5 if self.score_scale is None else self.score_scale

    @property
    def num_groups(self) -> int:
        """Query heads per key-value head."""
        return self.num_heads // self.num_kv_heads

    @property
    def cache(self) -> CacheSpec:
        return CacheSpec(self.num_kv_heads, self.head_dim, self.cache_dtype, self.page_group)

    def leaves(self, hidden_size: int) -> tuple[LeafSpec, ...]:
        """`qkv` [D, K, (G + 2) * H] holds a key-value head's queries, its key and its value; `o` [N * H, D]."""
        parts = (self.num_groups * self.head_dim, self.head_dim, self.head_dim)
        out = (self.num_kv_heads, sum(parts))
        leaves = [
            fused_projection("qkv", hidden_size, out, axis=1, parts=parts),
            projection("o", self.num_heads * self.head_dim, hidden_size),
        ]
        if self.has_qkv_bias:
            leaves.append(fused_bias("qkv_bias", out, axis=1, parts=parts))
        if self.has_o_bias:
            leaves.append(vector("o_bias", hidden_size))
        if self.qk_norm_eps is not None:
            leaves += [vector("q_norm", self.head_dim), vector("k_norm", self.head_dim)]
        return tuple(leaves)


@dataclass(frozen=True, slots=True)
class MlpSpec:
    """A gated MLP (Shazeer, arXiv 2002.05202).

    Attributes:
        size: F, of gate and up each.
        has_bias: on all three projections.
    """

    size: int
    activation: Activation = "silu"
    has_bias: bool = False

    def leaves(self, hidden_size: int) -> tuple[LeafSpec, ...]:
        """`gate_up` [D, 2, F] and `down` [F, D]."""
        out, parts = (2, self.size), (1, 1)
        leaves = [
            fused_projection("gate_up", hidden_size, out, axis=0, parts=parts),
            projection("down", self.size, hidden_size),
        ]
        if self.has_bias:
            leaves += [fused_bias("gate_up_bias", out, axis=0, parts=parts), vector("down_bias", hidden_size)]
        return tuple(leaves)
