"""Multi-head latent attention as data. Hashable, no jax."""

from __future__ import annotations

from dataclasses import dataclass, replace

from penstock.errors import ModelError
from penstock.layers.leaf import LeafSpec, fused_projection, head_matrices, projection, vector
from penstock.layers.rope_spec import RopeSpec
from penstock.layers.spec import CacheSpec, NormSpec, ScoreSpec, divided


@dataclass(frozen=True, slots=True)
class LatentAttentionSpec:
    """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, 2.1): keys and values of all heads are made of one
    short vector of a token, which is all that is kept of it, beside a rotated key that the heads share.

    Attributes:
        plain_size, rotated_size: of a head's queries and keys, the part without positions and the rotated one.
        value_size: of a head's values.
        rank: of the latent vector.
        query_rank: of the vector that queries are made of; None makes them of the token itself.
        norm: of both vectors.
        score_scale: what query-key products are multiplied by.
        has_bias: on the projections that reduce, and on the output.
        window, cache_dtype, page_group, mesh_axis: as in `AttentionSpec`.
    """

    num_heads: int
    plain_size: int
    rotated_size: int
    value_size: int
    rank: int
    rope: RopeSpec
    norm: NormSpec
    score_scale: float
    query_rank: int | None = None
    has_bias: bool = False
    window: int | None = None
    cache_dtype: str | None = None
    page_group: int = 0
    mesh_axis: str | None = None

    def __post_init__(self) -> None:
        if self.rotated_size % 2:
            raise ModelError(f"config.json: qk_rope_head_dim must be even, found {self.rotated_size}")

    @property
    def scores(self) -> ScoreSpec:
        return ScoreSpec(self.score_scale, self.window)

    @property
    def cache(self) -> CacheSpec:
        return CacheSpec(1, self.rank + self.rotated_size, self.cache_dtype, self.page_group, is_latent=True)

    def leaves(self, hidden_size: int) -> tuple[LeafSpec, ...]:
        """`kv_down` [D, rank + rotated], `k_up` [N, plain, rank], `v_up` [N, value, rank], `o` [N * value, D]; `q`
        [D or query_rank, N, plain + rotated], with `q_down` [D, query_rank] before it; norms and biases."""
        biased = [("kv_down", self.rank + self.rotated_size), ("o", hidden_size)]
        of_head = (self.num_heads, self.plain_size + self.rotated_size)
        leaves = [
            projection("kv_down", hidden_size, self.rank + self.rotated_size),
            *self.norm.leaves("kv_norm", self.rank),
            head_matrices("k_up", self.num_heads, self.plain_size, self.rank),
            head_matrices("v_up", self.num_heads, self.value_size, self.rank),
            fused_projection(
                "q", self.query_rank or hidden_size, of_head, axis=1, parts=of_head[1:], axes=("heads", None)
            ),
            projection("o", self.num_heads * self.value_size, hidden_size, axes=("heads", None)),
        ]
        if self.query_rank is not None:
            leaves += [projection("q_down", hidden_size, self.query_rank), *self.norm.leaves("q_norm", self.query_rank)]
            biased.append(("q_down", self.query_rank))
        if self.has_bias:
            leaves += [vector(name + "_bias", size) for name, size in biased]
        return tuple(leaves)

    def shard(self, num_devices: int, mesh_axis: str) -> LatentAttentionSpec:
        """What each of `num_devices` computes: its heads, over latents that all of them keep. ConfigError where the
        heads cannot be divided."""
        num_heads = divided("num_attention_heads", self.num_heads, num_devices)
        return replace(self, num_heads=num_heads, mesh_axis=mesh_axis)
