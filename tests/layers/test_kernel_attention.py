"""The kernel's attention against gathering, which is its judge, and against itself in other company.

What it computes is held against float64 in `rust/kernels/src/attention/tests.rs`; here is how it is called.
"""

from functools import partial
from itertools import chain

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from penstock.layers.attention import PagedAttention, TokenPlaces
from penstock.layers.gather_attention import GatherAttention
from penstock.layers.kernel_attention import KernelAttention
from penstock.layers.rope_spec import RopeSpec
from penstock.layers.spec import AttentionSpec, NormSpec

NUM_PAGES = 9
TABLE = np.array([[7, 2, 5, 0], [3, 8, 0, 0], [1, 4, 6, 0]], np.int32)
LENGTHS = (40, 17, 33)
LONG = RopeSpec(1e4, "longrope", original_max_position=20, short_factors=(1.0,) * 12, long_factors=(3.0,) * 12)

SPECS = {
    "plain": AttentionSpec(6, 2, 24, RopeSpec(1e4)),
    "window, cap and scale": AttentionSpec(4, 4, 16, RopeSpec(1e4, size=8), score_scale=0.7, window=5, soft_cap=3.0),
    "interleaved, odd": AttentionSpec(3, 1, 33, RopeSpec(1e4, size=20, is_interleaved=True), has_sinks=True),
    "no rotation, limit": AttentionSpec(2, 1, 8, None, qkv_limit=0.6),
    "long": AttentionSpec(2, 2, 24, LONG),
    "norm of heads": AttentionSpec(4, 2, 16, RopeSpec(1e4), qk_norm=NormSpec(1e-5, plus_one=True)),
    "norm of its own": AttentionSpec(4, 2, 16, None, qk_norm=NormSpec(1e-5, "layer"), qk_norm_over="own"),
    "norm of all": AttentionSpec(4, 2, 16, RopeSpec(1e4), qk_norm=NormSpec(1e-5), qk_norm_over="all"),
    "norm with bias": AttentionSpec(4, 2, 16, RopeSpec(1e4), qk_norm=NormSpec(1e-5, "layer", has_bias=True)),
    "norm without weight": AttentionSpec(4, 2, 16, RopeSpec(1e4), qk_norm=NormSpec(1e-5, has_weight=False)),
}


def leaves_of(spec: AttentionSpec, rng: np.random.Generator) -> dict[str, jax.Array]:
    shapes = {leaf.name: leaf.shape for leaf in spec.leaves(8)}
    return {name: jnp.asarray(rng.normal(size=shape), jnp.float32) for name, shape in shapes.items()}


def places_of(rows: list[list[tuple[int, int] | None]]) -> TokenPlaces:
    """Of rows [B][T] of sequence and position; None is padding."""
    sequences = [next(place[0] for place in row if place is not None) for row in rows]
    return TokenPlaces(
        jnp.asarray([[0 if place is None else place[1] for place in row] for row in rows], jnp.int32),
        (jnp.asarray(TABLE[sequences]),),
        jnp.asarray([[place is not None for place in row] for row in rows]),
        jnp.asarray([LENGTHS[sequence] for sequence in sequences], jnp.int32),
    )


class Run:
    """A layer with a cache full of what is no number, and the projections of its sequences."""

    def __init__(self, attention: PagedAttention, spec: AttentionSpec, dtype: str = "float32"):
        rng = np.random.default_rng(3)
        self.leaves = leaves_of(spec, rng)
        self.fused = rng.normal(size=(len(LENGTHS), 40, spec.num_kv_heads, (spec.num_groups + 2) * spec.head_dim))
        self.cache = jnp.full(attention.cache_shape(spec.cache, num_pages=NUM_PAGES), jnp.nan, dtype)
        self.step = jax.jit(partial(attention.mix, spec=spec), donate_argnums=2)

    def __call__(self, rows: list[list[tuple[int, int] | None]]) -> np.ndarray:
        """[B, T, N * H]."""
        none = np.full_like(self.fused[0, 0], np.nan)
        fused = np.stack([none if place is None else self.fused[place] for place in chain.from_iterable(rows)])
        mixed, self.cache = self.step(jnp.asarray(fused, jnp.float32), self.leaves, self.cache, places_of(rows))
        return np.asarray(mixed).reshape(len(rows), len(rows[0]), -1)


def whole(sequence: int, bucket: int) -> list[tuple[int, int] | None]:
    return [(sequence, at) if at < LENGTHS[sequence] else None for at in range(bucket)]


@pytest.mark.parametrize(
    ("name", "dtype"), [*((name, "float32") for name in SPECS), ("interleaved, odd", "bfloat16"), ("plain", "bfloat16")]
)
def test_it_is_what_gathering_gives(name: str, dtype: str):
    rows = [whole(sequence, 40) for sequence in range(3)]
    runs = [Run(attention, SPECS[name], dtype) for attention in (GatherAttention(16, 64, True), KernelAttention())]
    expected, given = (run(rows) for run in runs)
    for sequence, length in enumerate(LENGTHS):
        np.testing.assert_allclose(given[sequence, :length], expected[sequence, :length], atol=2e-5, rtol=2e-5)
        assert not given[sequence, length:].any(), "padding is 0"


def test_no_row_depends_on_its_company_bucket_or_span():
    """To the bit: prompts at once, and in spans of other buckets, then token by token, alone and in a batch."""
    spec = SPECS["window, cap and scale"]
    at_once = Run(KernelAttention(), spec)([whole(sequence, 40) for sequence in range(3)])
    run = Run(KernelAttention(), spec)
    run([[(0, at) for at in range(16)]])
    run([[(1, at) for at in range(10)] + [None] * 6])
    spans = run([[(0, at) for at in range(16, 39)] + [None]])
    np.testing.assert_array_equal(spans[0, :23], at_once[0, 16:39])
    run([[(1, at) for at in range(10, 16)] + [None] * 10])
    together = run([[(1, 16)], [(0, 39)]])
    np.testing.assert_array_equal(together[:, 0], [at_once[1, 16], at_once[0, 39]])


def test_the_cache_is_changed_where_it_lies():
    run = Run(KernelAttention(), SPECS["plain"])
    fused = jax.ShapeDtypeStruct((3 * 40, *run.fused.shape[2:]), jnp.float32)
    places = places_of([whole(sequence, 40) for sequence in range(3)])
    compiled = run.step.lower(fused, run.leaves, run.cache, places).compile()
    assert compiled.memory_analysis().alias_size_in_bytes == run.cache.nbytes
    sizes = ",".join(map(str, run.cache.shape))
    assert not [line for line in compiled.as_text().splitlines() if "copy(" in line and f"f32[{sizes}]" in line]


def test_a_page_that_the_cache_does_not_have_is_refused():
    run = Run(KernelAttention(), SPECS["plain"])
    places = places_of([whole(0, 40)])
    wrong = TokenPlaces(places.positions, (places.block_tables[0].at[0, 1].set(NUM_PAGES),), places.is_real)
    fused = jnp.zeros((40, *run.fused.shape[2:]))
    with pytest.raises(jax.errors.JaxRuntimeError, match="block_table names page 9 of 9"):
        jax.block_until_ready(run.step(fused, run.leaves, run.cache, wrong))
