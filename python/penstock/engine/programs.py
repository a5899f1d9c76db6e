"""What the programs compute. Which there are is told by `engine.program_set`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp

from penstock.engine import sampling
from penstock.engine.interface import END_ERROR, END_LENGTH, END_NONE, END_STOP, Yields
from penstock.engine.program_set import ProgramConfig, ProgramKey, decode_layout, span_layout
from penstock.engine.state import (
    SlotState,
    change_tables,
    empty_state,
    put_join,
    put_progress,
    take_rows,
    unpack_rows,
)
from penstock.layers.attention import TokenPlaces
from penstock.models.decoder import Caches, Weights, empty_caches, forward, logits


def program(key: ProgramKey, config: ProgramConfig, weights: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """The jitted function of a key, and the shapes to lower it with. `weights`: the tree, of arrays or shapes."""
    if key.kind == "fresh":
        return jax.jit(partial(fresh, config=config)), ()
    if key.kind == "prefill":
        body = partial(prefill, config=config, num_tokens=key.size, is_plain=key.is_plain)
        layout = span_layout(key.size, config)
    else:
        body = partial(decode, config=config, num_rows=key.size, num_steps=key.num_steps, is_plain=key.is_plain)
        layout = decode_layout(key.size, config)
    shapes = (weights, *_fresh_shapes(config), jax.eval_shape(partial(jnp.zeros, layout.num_words, jnp.int32)))
    return jax.jit(body, donate_argnums=(1, 2)), shapes


def program_trees(key: ProgramKey, config: ProgramConfig, weights: Any) -> tuple[Any, Any]:
    """The tree structures of a program's arguments (positional, keyword) and of its result."""
    shapes = _fresh_shapes(config)
    if key.kind == "fresh":
        return jax.tree.structure(((), {})), jax.tree.structure(shapes)
    return jax.tree.structure(((weights, *shapes, 0), {})), jax.tree.structure((0, *shapes))


@cache
def _fresh_shapes(config: ProgramConfig) -> tuple[Any, Any]:
    caches, state = jax.eval_shape(partial(fresh, config=config))
    return caches, state


def fresh(*, config: ProgramConfig) -> tuple[Caches, SlotState]:
    """An empty cache and no active slot."""
    caches = empty_caches(config.spec, config.attention, num_pages=config.num_pages, dtype=config.cache_dtype)
    return caches, empty_state(config.num_slots + 1, config.pages_per_sequence, num_page_groups=config.num_page_groups)


def prefill(
    weights: Weights,
    caches: Caches,
    state: SlotState,
    packed: jax.Array,
    *,
    config: ProgramConfig,
    num_tokens: int,
    is_plain: bool,
) -> tuple[jax.Array, Caches, SlotState]:
    """One span of one sequence: stores its keys and values; one that yields a token makes its slot active.

    Args:
        packed: int32, of `span_layout`.

    Returns:
        int32 [1, 2], the sampled id (-1 for none) and how the row ended, and the donated arrays.
    """
    parts = span_layout(num_tokens, config).parts(packed)
    slot, start, num_real = parts["slot"], parts["start"], parts["num_tokens"]
    state = change_tables(state, parts["entries"], parts["pages"])
    state = put_join(state, jnp.where(parts["is_join"] != 0, slot, config.num_slots), parts["params"])
    rows = take_rows(state, slot)
    offsets = jnp.arange(num_tokens)
    places = TokenPlaces(
        positions=(start + offsets)[None],
        block_tables=tuple(rows.block_tables),
        is_real=(offsets < num_real)[None],
    )
    tokens = parts["tokens"][None]
    hidden, caches = forward(weights, caches, tokens, places, spec=config.spec, attention=config.attention)
    last = jax.lax.dynamic_index_in_dim(hidden, num_real[0] - 1, axis=1, keepdims=False)
    yields = parts["yields"] == Yields.TOKEN
    rows = replace(rows, position=start + num_real - 1, is_active=yields)
    ids, ends, rows = _next_token(logits(weights, last, spec=config.spec), rows, config=config, is_plain=is_plain)
    state = put_progress(state, jnp.where(yields, slot, config.num_slots), rows)
    return jnp.stack([ids, ends], axis=1), caches, state


def decode(
    weights: Weights,
    caches: Caches,
    state: SlotState,
    packed: jax.Array,
    *,
    config: ProgramConfig,
    num_rows: int,
    num_steps: int,
    is_plain: bool,
) -> tuple[jax.Array, Caches, SlotState]:
    """`num_steps` tokens for each slot; a row that ends on the way stays silent.

    Args:
        packed: int32, of `decode_layout`.

    Returns:
        int32 [num_rows, num_steps + 1], the ids (-1 for none) and how each row ended, and the donated arrays.
    """
    parts = decode_layout(num_rows, config).parts(packed)
    state = change_tables(state, parts["entries"], parts["pages"])

    def step(carry: tuple[Caches, SlotState], _: None) -> tuple[tuple[Caches, SlotState], tuple[jax.Array, jax.Array]]:
        caches, rows = carry
        places = TokenPlaces(rows.position[:, None], tuple(rows.block_tables), rows.is_active[:, None])
        tokens = rows.last_token[:, None]
        hidden, caches = forward(weights, caches, tokens, places, spec=config.spec, attention=config.attention)
        scores = logits(weights, hidden[:, 0], spec=config.spec)
        ids, ends, rows = _next_token(scores, rows, config=config, is_plain=is_plain)
        return (caches, rows), (ids, ends)

    carry = (caches, take_rows(state, parts["slots"]))
    if num_steps == 1:
        (caches, rows), (ids, ends) = step(carry, None)
        ids, ends = ids[None], ends[None]
    else:
        (caches, rows), (ids, ends) = jax.lax.scan(step, carry, length=num_steps)
    result = jnp.concatenate([ids.T, jnp.max(ends, axis=0)[:, None]], axis=1)
    return result, caches, put_progress(state, parts["slots"], rows)


def _next_token(
    scores: jax.Array, rows: SlotState, *, config: ProgramConfig, is_plain: bool
) -> tuple[jax.Array, jax.Array, SlotState]:
    """Chooses a token for each active row and moves the row on: ids and ends, int32 [B] each, and the rows."""
    params, positions = unpack_rows(rows.params), rows.position + 1
    with jax.named_scope("sample"):
        if is_plain:
            chosen = sampling.sample_plain(scores, params, positions)
        else:
            chosen = sampling.sample(scores, params, positions, rows.num_generated, is_dynamic=config.is_dynamic)
    is_broken = jnp.any(jnp.isnan(scores), axis=1)
    wants_none = params["max_tokens"] <= 0  # the prompt alone
    num_generated = rows.num_generated + 1
    ends = jnp.where(num_generated >= params["max_tokens"], END_LENGTH, END_NONE)
    ends = jnp.where(~wants_none & jnp.any(params["stop_ids"] == chosen[:, None], axis=1), END_STOP, ends)
    ends = jnp.where(rows.is_active, jnp.where(is_broken, END_ERROR, ends), END_NONE)
    makes_token = rows.is_active & ~is_broken & ~wants_none
    rows = replace(
        rows,
        last_token=jnp.where(makes_token, chosen, rows.last_token),
        position=jnp.where(makes_token, positions, rows.position),
        num_generated=jnp.where(makes_token, num_generated, rows.num_generated),
        is_active=rows.is_active & (ends == END_NONE),
    )
    return jnp.where(makes_token, chosen, -1), ends, rows
