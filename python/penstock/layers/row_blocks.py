"""A function of rows, computed so that on CPU a row's result does not depend on how many rows there are.

XLA's CPU matrix products add up in another order where a matrix is narrow or has few rows. The last bit decides which
of two experts with nearly equal scores is chosen, so there a router sees rows by eights.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

BLOCK = 8


def in_row_blocks(compute: Callable[[jax.Array], Any], x: jax.Array) -> Any:
    """`compute(x)`, x [R, D], a tree of arrays [R, ...]; on CPU block by block, elsewhere at once."""
    return jax.lax.platform_dependent(x, cpu=partial(_by_block, compute), default=compute)


def _by_block(compute: Callable[[jax.Array], Any], x: jax.Array) -> Any:
    missing = -len(x) % BLOCK
    blocks = jnp.pad(x, ((0, missing), (0, 0))).reshape(-1, BLOCK, x.shape[1])
    made = jax.lax.map(compute, blocks)
    return jax.tree.map(lambda rows: rows.reshape(-1, *rows.shape[2:])[: len(x)], made)
