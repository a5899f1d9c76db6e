"""Rotary positions (Su et al., arXiv 2104.09864), the two halves of a head rotated against each other."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from penstock.layers.rope_spec import RopeSpec


def inverse_frequencies(rope: RopeSpec, head_dim: int) -> np.ndarray:
    """Radians per position, float32 [H / 2]; in float32 throughout, as transformers' `modeling_rope_utils` does."""
    exponents = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    plain: np.ndarray = (1.0 / np.float32(rope.theta) ** exponents).astype(np.float32)
    if rope.kind == "llama3":
        return _llama3(plain, rope)
    return plain / np.float32(rope.factor) if rope.kind == "linear" else plain


def _llama3(plain: np.ndarray, rope: RopeSpec) -> np.ndarray:
    """Llama 3.1's stretch: long wavelengths divided by `factor`, short ones kept, a linear blend between."""
    wavelengths = np.float32(2 * math.pi) / plain
    turns = np.float32(rope.original_max_position) / wavelengths
    blend = (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor)
    kept = np.clip(blend, 0.0, 1.0).astype(np.float32)
    stretched: np.ndarray = (1 - kept) * plain / np.float32(rope.factor) + kept * plain
    return stretched


def rope_angles(rope: RopeSpec, head_dim: int, positions: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Cosine and sine for each position.

    Args:
        positions: int32 [R].

    Returns:
        Two float32 [R, 1, H / 2].
    """
    angles = positions.astype(jnp.float32)[:, None, None] * inverse_frequencies(rope, head_dim)
    return jnp.cos(angles), jnp.sin(angles)


def rotate(x: jax.Array, angles: tuple[jax.Array, jax.Array]) -> jax.Array:
    """Rotates heads by their positions' angles.

    Args:
        x: [R, N, H]; angles: of `rope_angles`.

    Returns:
        [R, N, H] in the dtype of `x`.
    """
    cos, sin = angles
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1).astype(x.dtype)
