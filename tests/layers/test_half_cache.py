"""A cache of bfloat16 beside queries of float32: what is read is what was rounded, and products stay float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from penstock.layers.attention import PagePlaces, bits_to_widen, widened
from penstock.layers.gather_attention import GatherAttention
from penstock.layers.spec import CacheSpec, ScoreSpec


@pytest.mark.parametrize("num_new", [1, 9])
def test_a_half_cache_is_a_rounded_one(num_new: int):
    """Exactly what float32 gives of keys and values that were rounded before: nothing else is done in half."""
    attention = GatherAttention(4, 8, is_dynamic=True)
    shape = attention.cache_shape(CacheSpec(2, 16), num_pages=6)
    keys = jax.random.split(jax.random.key(0), 3)
    q = jax.random.normal(keys[0], (1, num_new, 4, 16))
    k, v = (jax.random.normal(key, (1, num_new, 2, 16)) for key in keys[1:])
    table = jnp.array([[3, 1, 4, 2]])
    places = PagePlaces(jnp.arange(num_new)[None], table, jnp.ones((1, num_new), bool))
    rounded = [part.astype(jnp.bfloat16).astype(jnp.float32) for part in (k, v)]
    outs = []
    for dtype, (each_k, each_v) in ((jnp.bfloat16, (k, v)), (jnp.float32, rounded)):
        cache = attention.write(jnp.zeros(shape, dtype), each_k, each_v, places)
        assert cache.dtype == dtype
        outs.append(np.asarray(attention.attend(q, cache, places, scores=ScoreSpec(0.25, None, None))))
    assert outs[0].dtype == np.float32
    np.testing.assert_array_equal(*outs)


def test_every_half_number_is_widened_to_itself():
    """Infinities, the least numbers and not-a-numbers included."""
    halves = jax.lax.bitcast_convert_type(jnp.arange(2**16, dtype=jnp.uint16), jnp.bfloat16)
    wide = np.asarray(widened(bits_to_widen(halves, jnp.dtype("float32")), jnp.dtype("float32")))
    assert wide.dtype == np.float32
    np.testing.assert_array_equal(wide, np.asarray(halves).astype(np.float32))
    assert bits_to_widen(halves, jnp.bfloat16) is halves
