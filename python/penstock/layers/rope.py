"""Rotary positions (Su et al., arXiv 2104.09864): pairs of a head's numbers turned by angles that grow by position."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from penstock.layers.rope_spec import RopeSpec


def inverse_frequencies(rope: RopeSpec, head_dim: int, *, is_long: bool = False) -> np.ndarray:
    """Radians per position, float32, one for each rotated pair; in float32 throughout, as transformers'
    `modeling_rope_utils` does. `is_long`: of a sequence beyond the original context ("longrope")."""
    size = head_dim if rope.size is None else rope.size
    powers = np.float32(rope.theta) ** (np.arange(0, size, 2, dtype=np.float32) / np.float32(size))
    if rope.kind in ("longrope", "factors"):
        return _inverse(np.array(rope.long_factors if is_long else rope.short_factors, np.float32) * powers)
    plain = _inverse(powers)
    if rope.kind == "llama3":
        return _llama3(plain, rope)
    if rope.kind == "yarn":
        return _yarn(plain, _inverse(np.float32(rope.factor) * powers), rope, size)
    return plain / np.float32(rope.factor) if rope.kind == "linear" else plain


def _inverse(powers: np.ndarray) -> np.ndarray:
    inverse: np.ndarray = (np.float32(1) / powers).astype(np.float32)
    return inverse


def _llama3(plain: np.ndarray, rope: RopeSpec) -> np.ndarray:
    """Llama 3.1's stretch: long wavelengths divided by `factor`, short ones kept, a linear blend between."""
    wavelengths = np.float32(2 * math.pi) / plain
    turns = np.float32(rope.original_max_position) / wavelengths
    blend = (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor)
    kept = np.clip(blend, 0.0, 1.0).astype(np.float32)
    stretched: np.ndarray = (1 - kept) * plain / np.float32(rope.factor) + kept * plain
    return stretched


def _yarn(plain: np.ndarray, stretched: np.ndarray, rope: RopeSpec, size: int) -> np.ndarray:
    """YaRN's blend by dimension: the first, fast ones as they are, the last ones stretched."""

    def dimension(num_turns: float) -> float:
        """Which turns so often within the original context."""
        turns = math.log(rope.original_max_position / (num_turns * 2 * math.pi))
        return size * turns / (2 * math.log(rope.theta))

    first, last = dimension(rope.beta_fast), dimension(rope.beta_slow)
    if rope.is_truncated:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, size - 1)
    last += 0.001 if first == last else 0
    ramp = (np.arange(len(plain), dtype=np.float32) - np.float32(first)) / np.float32(last - first)
    kept = 1 - np.clip(ramp, 0, 1).astype(np.float32)
    blended: np.ndarray = stretched * (1 - kept) + plain * kept
    return blended


def rope_angles(
    rope: RopeSpec, head_dim: int, positions: jax.Array, *, is_long: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """Cosine and sine for each position and pair.

    Args:
        positions: int32 [R].
        is_long: bool [R], whether a position's sequence is beyond the original context; "longrope" reads it.

    Returns:
        Two float32 [R, 1, pairs].
    """
    frequencies = jnp.asarray(inverse_frequencies(rope, head_dim))
    if rope.kind == "longrope" and is_long is not None:
        long = inverse_frequencies(rope, head_dim, is_long=True)
        frequencies = jnp.where(is_long[:, None, None], long, frequencies)
    angles = positions.astype(jnp.float32)[:, None, None] * frequencies
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    return (cos, sin) if rope.attention_factor == 1 else (cos * rope.attention_factor, sin * rope.attention_factor)


def rotate(x: jax.Array, angles: tuple[jax.Array, jax.Array], *, is_interleaved: bool = False) -> jax.Array:
    """Rotates heads by their positions' angles.

    Args:
        x: [R, N, H], of which the first numbers, two for each angle, are rotated; angles: of `rope_angles`.

    Returns:
        [R, N, H] in the dtype of `x`.
    """
    cos, sin = angles
    size = 2 * cos.shape[-1]
    first, second = _pairs(x[..., :size].astype(jnp.float32), is_interleaved=is_interleaved)
    pairs = first * cos - second * sin, second * cos + first * sin
    rotated = jnp.stack(pairs, axis=-1).reshape(*x.shape[:-1], size) if is_interleaved else jnp.concatenate(pairs, -1)
    rotated = rotated.astype(x.dtype)
    return rotated if size == x.shape[-1] else jnp.concatenate([rotated, x[..., size:]], axis=-1)


def _pairs(x: jax.Array, *, is_interleaved: bool) -> tuple[jax.Array, jax.Array]:
    """The first and the second number of each pair of x [..., 2P], [..., P] each."""
    if is_interleaved:
        return x[..., ::2], x[..., 1::2]
    first, second = jnp.split(x, 2, axis=-1)
    return first, second
