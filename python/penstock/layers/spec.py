"""The parts of a layer as data: everything that shapes their computation, hashable, and no jax.

A spec names its leaves and, where it remembers tokens, its cache; the function of the same name computes it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from penstock.errors import ConfigError, ModelError
from penstock.layers.leaf import LeafSpec, LogicalAxis, fused_bias, fused_projection, of_heads, projection, vector
from penstock.layers.rope_spec import RopeSpec

Activation = Literal["silu", "gelu", "gelu_tanh", "quick_gelu", "relu", "relu2"]


@dataclass(frozen=True, slots=True)
class NormSpec:
    """A normalisation over the last axis, in float32.

    Attributes:
        kind: "rms" (Zhang and Sennrich, arXiv 1910.07467) or "layer" (Ba et al., arXiv 1607.06450).
        has_weight, has_bias: what it is scaled by, and what is added then.
        plus_one: the stored weight lacks 1.
    """

    eps: float
    kind: Literal["rms", "layer"] = "rms"
    has_weight: bool = True
    has_bias: bool = False
    plus_one: bool = False

    def leaves(self, name: str, size: int, *, axis: LogicalAxis | None = None) -> tuple[LeafSpec, ...]:
        """`name` and `name_bias`."""
        weight = (vector(name, size, axis=axis),) if self.has_weight else ()
        return (*weight, vector(name + "_bias", size, axis=axis)) if self.has_bias else weight


@dataclass(frozen=True, slots=True)
class ScoreSpec:
    """What happens to the products of queries and keys before the softmax.

    Attributes:
        scale: what they are multiplied by.
        window: how many positions a token sees, itself included; None sees all before it.
        soft_cap: bends them into (-soft_cap, soft_cap) by tanh, after the scale.
    """

    scale: float
    window: int | None = None
    soft_cap: float | None = None


@dataclass(frozen=True, slots=True)
class CacheSpec:
    """What a layer keeps of every token: a key and a value for each head. How they lie is the attention's choice.

    Attributes:
        is_latent: one vector, which is both to all heads: `num_heads` is 1.
        dtype: "float32" or "bfloat16"; None takes the engine's.
        page_group: layers of a group share a block table. `DecoderSpec` sets it, by the layers' windows.
    """

    num_heads: int
    head_dim: int
    dtype: str | None = None
    page_group: int = 0
    is_latent: bool = False

    @property
    def num_vectors(self) -> int:
        """Of `head_dim` numbers each."""
        return 1 if self.is_latent else 2 * self.num_heads

    @property
    def numbers_per_token(self) -> int:
        return self.num_vectors * self.head_dim


@dataclass(frozen=True, slots=True)
class AttentionSpec:
    """Attention of grouped query heads (Ainslie et al., arXiv 2305.13245).

    Attributes:
        rope: None is no rotation.
        score_scale: what query-key products are multiplied by; None is 1/sqrt(head_dim).
        window: how many positions a token sees, itself included; None sees all before it.
        soft_cap: of the scores.
        has_sinks: each head has a score of its own that goes into its softmax's sum, without a value.
        has_qkv_bias, has_o_bias: which projections add a bias.
        qk_norm: of q and of k, before rotation; None is no norm.
        qk_norm_over: "head": each head alone, all by one weight; "own": each by a weight of its own; "all": the heads
            of a token together.
        qkv_limit: bounds q, k and v, both ways, as they are projected.
        cache_dtype, page_group: of the layer's cache.
        mesh_axis: of the devices that share the heads, of which these are one's own.
    """

    num_heads: int
    num_kv_heads: int
    head_dim: int
    rope: RopeSpec | None
    score_scale: float | None = None
    window: int | None = None
    soft_cap: float | None = None
    has_sinks: bool = False
    has_qkv_bias: bool = False
    has_o_bias: bool = False
    qk_norm: NormSpec | None = None
    qk_norm_over: Literal["head", "own", "all"] = "head"
    qkv_limit: float | None = None
    cache_dtype: str | None = None
    page_group: int = 0
    mesh_axis: str | None = None

    def __post_init__(self) -> None:
        if self.num_heads % self.num_kv_heads:
            raise ModelError(
                f"config.json: {self.num_heads} attention heads over {self.num_kv_heads} key-value heads: expected a "
                "whole number of heads per key-value head"
            )
        if self.rope is not None and 2 * self.rope.num_pairs(self.head_dim) > self.head_dim:
            raise ModelError(f"config.json: expected an even head size for rotary positions, found {self.head_dim}")

    @property
    def scores(self) -> ScoreSpec:
        scale = self.head_dim**-0.5 if self.score_scale is None else self.score_scale
        return ScoreSpec(scale, self.window, self.soft_cap)

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
            fused_projection("qkv", hidden_size, out, axis=1, parts=parts, axes=("kv_heads", None)),
            projection("o", self.num_heads * self.head_dim, hidden_size, axes=("heads", None)),
        ]
        if self.has_qkv_bias:
            leaves.append(fused_bias("qkv_bias", out, axis=1, parts=parts, axes=("kv_heads", None)))
        if self.has_o_bias:
            leaves.append(vector("o_bias", hidden_size))
        if self.has_sinks:
            leaves.append(vector("sinks", self.num_heads, axis="heads"))
        return (*leaves, *self._norm_leaves())

    def _norm_leaves(self) -> tuple[LeafSpec, ...]:
        if self.qk_norm is None:
            return ()
        if self.qk_norm_over == "own":
            q_norm = of_heads("q_norm", self.num_heads, self.head_dim, axis="heads")
            return q_norm, of_heads("k_norm", self.num_kv_heads, self.head_dim, axis="kv_heads")
        if self.qk_norm_over == "head":
            return self.qk_norm.leaves("q_norm", self.head_dim) + self.qk_norm.leaves("k_norm", self.head_dim)
        q = self.qk_norm.leaves("q_norm", self.num_heads * self.head_dim, axis="heads")
        return q + self.qk_norm.leaves("k_norm", self.num_kv_heads * self.head_dim, axis="kv_heads")

    def shard(self, num_devices: int, mesh_axis: str) -> AttentionSpec:
        """What each of `num_devices` computes. Where there are fewer key-value heads, neighbours share one, each with
        its own of the queries that it serves. ConfigError where that does not come out even."""
        num_heads = divided("num_attention_heads", self.num_heads, num_devices)
        is_shared = num_devices % self.num_kv_heads == 0
        num_kv_heads = 1 if is_shared else divided("num_key_value_heads", self.num_kv_heads, num_devices)
        return replace(self, num_heads=num_heads, num_kv_heads=num_kv_heads, mesh_axis=mesh_axis)


@dataclass(frozen=True, slots=True)
class MlpSpec:
    """An MLP, gated (Shazeer, arXiv 2002.05202) or plain.

    Attributes:
        size: F, of gate and up each.
        has_bias: on all projections.
        mesh_axis: of the devices that share the columns, of which these are one's own.
    """

    size: int
    activation: Activation = "silu"
    has_bias: bool = False
    is_gated: bool = True
    mesh_axis: str | None = None

    def leaves(self, hidden_size: int) -> tuple[LeafSpec, ...]:
        """`gate_up` [D, 2, F] or `up` [D, F], and `down` [F, D]."""
        down = projection("down", self.size, hidden_size, axes=("mlp", None))
        biases = (vector("down_bias", hidden_size),) if self.has_bias else ()
        if not self.is_gated:
            up_bias = (vector("up_bias", self.size, axis="mlp"),) if self.has_bias else ()
            return projection("up", hidden_size, self.size, axes=(None, "mlp")), down, *up_bias, *biases
        out, parts = (2, self.size), (1, 1)
        fused = fused_projection("gate_up", hidden_size, out, axis=0, parts=parts, axes=(None, "mlp"))
        fused_biases = (
            (fused_bias("gate_up_bias", out, axis=0, parts=parts, axes=(None, "mlp")),) if self.has_bias else ()
        )
        return fused, down, *fused_biases, *biases

    def shard(self, num_devices: int, mesh_axis: str) -> MlpSpec:
        """What each of `num_devices` computes. ConfigError where they cannot divide the columns."""
        return replace(self, size=divided("intermediate_size", self.size, num_devices), mesh_axis=mesh_axis)


def divided(name: str, size: int, num_devices: int) -> int:
    """A device's part of a size of the model, which is called `name` in its config."""
    if size % num_devices:
        raise ConfigError(f"--tensor-parallel-size {num_devices} should divide the model's {name}, {size}.")
    return size // num_devices
