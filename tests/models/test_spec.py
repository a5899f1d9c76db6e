"""A model as a sequence of layers: what is shared, what a program is named by, and page groups."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from penstock.errors import ModelError
from penstock.layers.attention import TokenPlaces
from penstock.layers.gather_attention import GatherAttention
from penstock.layers.rope_spec import RopeSpec
from penstock.layers.spec import AttentionSpec, MlpSpec, NormSpec
from penstock.layers.step_places import StepPlaces
from penstock.models.decoder import empty_caches, forward
from penstock.models.spec import DecoderSpec, LayerSpec, PageGroup, windowed
from penstock.models.tree import layers_of, num_parameters, stacks
from penstock.weights import weight_shapes

PAGE, WINDOW, SIZES = 4, 5, (8, 1, 8)
LAYER = LayerSpec(AttentionSpec(4, 2, 8, RopeSpec(1e4), qk_norm=NormSpec(1e-6)), MlpSpec(12), NormSpec(1e-6))
ATTENTION = GatherAttention(page_size=PAGE, block_size=8, is_dynamic=True)
FORWARD = jax.jit(forward, static_argnames=("spec", "attention"))


def decoder_spec(*layers: LayerSpec) -> DecoderSpec:
    return DecoderSpec(vocab_size=11, hidden_size=16, layers=layers, final_norm=NormSpec(1e-6))


def with_attention(layer: LayerSpec, **fields) -> LayerSpec:
    return replace(layer, attention=replace(layer.attention, **fields))


def random_weights(spec: DecoderSpec):
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: jnp.asarray(rng.standard_normal(leaf.shape) * 0.3, leaf.dtype),
        weight_shapes(spec, dtype="float32"),
    )


def run(spec: DecoderSpec, weights, *block_tables: tuple[np.ndarray, ...]) -> np.ndarray:
    """Hidden states [2, T, D] of two rows over the cache, in steps of SIZES with their block tables."""
    tokens = np.random.default_rng(1).integers(0, spec.vocab_size, (2, sum(SIZES))).astype(np.int32)
    caches = empty_caches(spec, ATTENTION, num_pages=20, dtype=jnp.float32)
    start, out = 0, []
    for size, groups in zip(SIZES, block_tables, strict=True):
        positions = np.tile(np.arange(start, start + size, dtype=np.int32), (2, 1))
        rows = TokenPlaces(jnp.asarray(positions), tuple(map(jnp.asarray, groups)), jnp.ones((2, size), bool))
        new = tokens[:, start : start + size].reshape(-1)
        hidden, caches = FORWARD(weights, caches, new, StepPlaces.of(rows), spec=spec, attention=ATTENTION)
        out.append(np.asarray(hidden).reshape(2, size, -1))
        start += size
    return np.concatenate(out, axis=1)


def tables(seed: int) -> np.ndarray:
    """Pages of two rows, in any order."""
    return (np.random.default_rng(seed).permutation(16) + 1).reshape(2, 8).astype(np.int32)


FULL, WINDOWED = LAYER, with_attention(LAYER, window=WINDOW)
TWO_GROUPS = decoder_spec(FULL, WINDOWED)


def test_layers_of_the_same_window_are_a_page_group():
    wide = with_attention(LAYER, window=9)
    spec = decoder_spec(wide, FULL, WINDOWED, wide, WINDOWED)
    assert spec.page_groups == (PageGroup((1,), None), PageGroup((2, 4), WINDOW), PageGroup((0, 3), 9))
    assert [layer.cache.page_group for layer in spec.layers] == [2, 0, 1, 2, 1]
    assert decoder_spec(*spec.layers) == spec
    assert decoder_spec(WINDOWED, WINDOWED).page_groups == (PageGroup((0, 1), WINDOW),)
    assert decoder_spec(FULL, FULL).page_groups == (PageGroup((0, 1), None),)


def test_windowed_and_full_layers_compute_the_same_with_pages_of_their_own_as_with_the_same():
    assert TWO_GROUPS.page_groups == (PageGroup((0,), None), PageGroup((1,), WINDOW))
    weights, same, other = random_weights(TWO_GROUPS), tables(0), tables(1)
    want = run(TWO_GROUPS, weights, *[(same, same)] * 3)
    np.testing.assert_array_equal(run(TWO_GROUPS, weights, *[(same, other)] * 3), want)


def test_pages_of_a_windowed_group_may_go_once_the_window_has_passed_them():
    """Entries of page 0 behind the window change nothing there, and much in a group that reads all."""
    weights, full, window = random_weights(TWO_GROUPS), tables(0), tables(1)
    no_full, no_window = full.copy(), window.copy()
    num_passed = (SIZES[0] + SIZES[1] - WINDOW + 1) // PAGE
    no_full[:, :num_passed] = no_window[:, :num_passed] = 0
    both = (full, window)
    want = run(TWO_GROUPS, weights, both, both, both)
    np.testing.assert_array_equal(run(TWO_GROUPS, weights, both, both, (full, no_window)), want)
    assert not np.array_equal(run(TWO_GROUPS, weights, both, both, (no_full, window)), want)


def test_layers_of_other_shapes_stand_in_one_model():
    wide = LayerSpec(
        AttentionSpec(2, 1, 16, RopeSpec(1e6), score_scale=0.1, has_o_bias=True), MlpSpec(20), NormSpec(1e-5)
    )
    spec = decoder_spec(LAYER, wide, with_attention(LAYER, cache_dtype="bfloat16"))
    weights = random_weights(spec)
    leaves = layers_of(weights, spec)
    assert [layer["qkv"].shape for layer in leaves] == [(16, 2, 32), (16, 1, 64), (16, 2, 32)]
    assert ["o_bias" in layer for layer in leaves] == [False, True, False]
    assert [(stack.leaf.name, stack.layers) for stack in stacks(spec)][:3] == [
        ("attn_norm", (0, 1, 2)), ("mlp_norm", (0, 1, 2)), ("q_norm", (0, 2)),
    ]  # fmt: skip
    assert num_parameters(spec) == sum(leaf.size for leaf in jax.tree.leaves(weights))
    caches = empty_caches(spec, ATTENTION, num_pages=3, dtype=jnp.float32)
    assert [(cache.shape, str(cache.dtype)) for cache in caches] == [
        ((3, PAGE, 4, 8), "float32"), ((3, PAGE, 2, 16), "float32"), ((3, PAGE, 4, 8), "bfloat16"),
    ]  # fmt: skip
    tokens = jnp.zeros((2, 3), jnp.int32)
    places = StepPlaces.of(TokenPlaces(tokens, (jnp.asarray(tables(0)),), tokens == 0))
    step = partial(forward, spec=spec, attention=ATTENTION)
    hidden, written = jax.eval_shape(step, weights, caches, tokens.reshape(-1), places)
    assert hidden.shape == (6, 16)
    assert [(cache.shape, cache.dtype) for cache in written] == [(cache.shape, cache.dtype) for cache in caches]


def test_equal_layers_are_one_object_and_a_spec_of_many_has_a_short_name():
    copies = tuple(replace(LAYER) for _ in range(80))
    spec = decoder_spec(*copies)
    assert len({id(layer) for layer in spec.layers}) == 1
    assert len(repr(spec)) < 2000
    assert repr(spec) != repr(decoder_spec(*copies[:79]))
    mixed = decoder_spec(*windowed(LAYER, (None, 5, 5)))
    assert repr(mixed) != repr(decoder_spec(*windowed(LAYER, (5, None, 5))))
    assert hash(mixed) == hash(decoder_spec(*windowed(LAYER, (None, 5, 5))))


def test_heads_that_do_not_divide_are_refused():
    with pytest.raises(ModelError, match=r"4 attention heads .* 3 key-value heads"):
        AttentionSpec(4, 3, 8, RopeSpec(1e4))
