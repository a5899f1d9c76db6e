"""Rotary frequencies against their definitions, in float64."""

import math

import jax.numpy as jnp
import numpy as np

from penstock.layers.rope import inverse_frequencies, rope_angles, rotate
from penstock.layers.rope_spec import RopeSpec

PLAIN = 10000.0 ** (-np.arange(0, 16, 2) / 16)


def test_linear_divides_every_frequency():
    np.testing.assert_allclose(inverse_frequencies(RopeSpec(10000.0, "linear", 4.0), 16), PLAIN / 4, rtol=1e-6)


def test_llama3_stretches_long_waves_keeps_short_ones_and_blends_between():
    rope = RopeSpec(10000.0, "llama3", 8.0, 1.0, 4.0, 128)
    want = []
    for frequency in PLAIN:
        wavelength = 2 * math.pi / frequency
        if wavelength < 128 / 4:
            want.append(frequency)
        elif wavelength > 128 / 1:
            want.append(frequency / 8)
        else:
            smooth = (128 / wavelength - 1) / (4 - 1)
            want.append((1 - smooth) * frequency / 8 + smooth * frequency)
    np.testing.assert_allclose(inverse_frequencies(rope, 16), want, rtol=1e-6)


def test_rotation_turns_pairs_of_halves_as_complex_numbers():
    x = np.random.default_rng(0).standard_normal((5, 2, 16)).astype(np.float32)
    positions = np.array([0, 1, 2, 50, 400])
    got = np.asarray(rotate(jnp.asarray(x), rope_angles(RopeSpec(10000.0), 16, jnp.asarray(positions))))
    turned = (x[..., :8] + 1j * x[..., 8:]) * np.exp(1j * positions[:, None, None] * PLAIN)
    np.testing.assert_allclose(got, np.concatenate([turned.real, turned.imag], axis=-1), atol=1e-4)


def test_yarn_keeps_fast_frequencies_stretches_slow_ones_and_blends_between():
    """By the number of turns within the original context, of each dimension (arXiv 2309.00071, 3.2)."""
    rope = RopeSpec(10000.0, "yarn", 4.0, original_max_position=64, beta_fast=8.0, beta_slow=1.0, is_truncated=False)

    def dimension(turns: float) -> float:
        return 16 * math.log(64 / (turns * 2 * math.pi)) / (2 * math.log(10000.0))

    first, last = max(dimension(8.0), 0), dimension(1.0)
    share = np.clip((np.arange(8) - first) / (last - first), 0, 1)
    np.testing.assert_allclose(inverse_frequencies(rope, 16), PLAIN * (1 - share) + PLAIN / 4 * share, rtol=1e-5)


def test_longrope_has_a_divisor_for_each_frequency_by_the_sequences_length():
    short, long = tuple(np.linspace(1, 2, 8)), tuple(np.linspace(3, 9, 8))
    rope = RopeSpec(
        10000.0, "longrope", original_max_position=32, short_factors=short, long_factors=long, attention_factor=1.5
    )
    positions = jnp.array([5, 5])
    cos, sin = rope_angles(rope, 16, positions, is_long=jnp.array([False, True]))
    want = 5 * np.stack([PLAIN / short, PLAIN / long])
    np.testing.assert_allclose(cos[:, 0], 1.5 * np.cos(want), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(sin[:, 0], 1.5 * np.sin(want), rtol=1e-5, atol=1e-6)


def test_neighbours_of_a_part_of_the_head_are_turned_and_the_rest_is_left():
    x = np.random.default_rng(1).standard_normal((3, 2, 20)).astype(np.float32)
    rope, positions = RopeSpec(10000.0, size=16, is_interleaved=True), np.array([0, 3, 70])
    got = np.asarray(rotate(jnp.asarray(x), rope_angles(rope, 20, jnp.asarray(positions)), is_interleaved=True))
    turned = (x[..., :16:2] + 1j * x[..., 1:16:2]) * np.exp(1j * positions[:, None, None] * PLAIN)
    np.testing.assert_allclose(got[..., :16:2], turned.real, atol=1e-4)
    np.testing.assert_allclose(got[..., 1:16:2], turned.imag, atol=1e-4)
    np.testing.assert_array_equal(got[..., 16:], x[..., 16:])
