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
