"""Softmax over blocks of keys, one after another, of Milakov and Gimelshein (arXiv 1805.02867)."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

#: The blocks that a loop runs over, [first, end), and what weights the values of one with exp(scores).
Blocks = tuple[jax.Array | int, jax.Array | int]
Mix = Callable[[jax.Array], jax.Array]

#: Below every score, and finite: a block without a visible key then weighs exp(0) of a sum that is later scaled to 0.
MASKED = -1e30


def online_softmax(
    score: Callable[[jax.Array], tuple[jax.Array, Mix]],
    blocks: Blocks,
    shape: tuple[int, ...],
    *,
    axis: int,
    sinks: jax.Array | None = None,
) -> jax.Array:
    """The mean of values weighted by exp(score), block by block, float32 of `shape`.

    Args:
        score: for a block its scores, its keys along `axis`, and a function that weights its values with them.
        shape: of the result; without its last axis, of the scores without `axis`.
        sinks: float32 [*shape[1:-1]], scores of a key whose value is 0, seen before all blocks.
    """

    def add_block(index: jax.Array, carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        peak, total, mixed = carry
        scores, mix = score(index)
        new_peak = jnp.maximum(peak, jnp.max(scores, axis=axis))
        weights = jnp.exp(scores - jnp.expand_dims(new_peak, axis))
        decay = jnp.exp(peak - new_peak)
        return new_peak, total * decay + jnp.sum(weights, axis=axis), mixed * decay[..., None] + mix(weights)

    zeros = jnp.zeros(shape, jnp.float32)
    peak, total = zeros[..., 0] + MASKED, zeros[..., 0]
    if sinks is not None:
        peak, total = total + sinks, total + 1
    _, total, mixed = jax.lax.fori_loop(*blocks, add_block, (peak, total, zeros))
    mean: jax.Array = mixed / total[..., None]
    return mean
