"""The closed set of programs: what they compute and for which shapes they exist.

Every shape that the runner can emit is enumerated here, so that all are compiled before the engine is ready.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp

from penstock.engine import sampling
from penstock.engine.interface import END_LENGTH, END_NONE, END_STOP, Capacity
from penstock.engine.state import SlotState, empty_state, packed_size, put_progress, put_rows, take_rows, unpack_slice
from penstock.layers.attention import PagedAttention, TokenPlaces
from penstock.models.decoder import Caches, Weights, empty_caches, forward, logits
from penstock.models.spec import DecoderSpec


@dataclass(frozen=True, slots=True)
class ProgramConfig:
    """What all programs of one engine share. Static: part of every program's identity.

    Attributes:
        num_pages: with page 0.
        num_slots: without the padding row.
        is_dynamic: trip counts may depend on data (CPU).
        compiler_options: XLA's.
    """

    spec: DecoderSpec
    attention: PagedAttention
    cache_dtype: Any
    num_pages: int
    num_slots: int
    pages_per_sequence: int
    is_dynamic: bool
    compiler_options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ProgramKey:
    """Names one program.

    Attributes:
        kind: "fresh", "prefill" or "decode".
        size: prefill: tokens; decode: rows.
        num_steps: decode: tokens per row.
        is_greedy: decode: no row is sampled. Where trip counts may depend on data one program serves both.
    """

    kind: str
    size: int = 0
    num_steps: int = 1
    is_greedy: bool = False

    def __str__(self) -> str:
        if self.kind != "decode":
            return f"{self.kind}[{self.size}]"
        return f"decode[{self.size}x{self.num_steps}, {'greedy' if self.is_greedy else 'sampled'}]"


def prefill_buckets(max_prefill_tokens: int) -> tuple[int, ...]:
    """Slice lengths: doubling from 16, the longest being exactly `max_prefill_tokens`."""
    return _doubling(16, max_prefill_tokens, factor=2)


def decode_buckets(num_slots: int) -> tuple[int, ...]:
    """Row counts: 1, then 4 and doubling. (Two rows cost as much as four on CPU, and little less elsewhere.)"""
    return (1,) if num_slots == 1 else (1, *_doubling(4, num_slots, factor=2))


def _doubling(first: int, last: int, *, factor: int) -> tuple[int, ...]:
    sizes = []
    while first < last:
        sizes.append(first)
        first *= factor
    return (*sizes, last)


def program_keys(capacity: Capacity, config: ProgramConfig) -> list[ProgramKey]:
    """Every program, smallest first."""
    variants = (False,) if config.is_dynamic else (True, False)
    keys = [ProgramKey("fresh")]
    keys += [ProgramKey("prefill", size) for size in prefill_buckets(capacity.max_prefill_tokens)]
    for num_steps in sorted({1, capacity.tokens_per_dispatch}):
        for size in decode_buckets(capacity.num_slots):
            keys += [ProgramKey("decode", size, num_steps, is_greedy) for is_greedy in variants]
    return sorted(keys, key=lambda key: key.size * key.num_steps)


def program(key: ProgramKey, config: ProgramConfig, weights: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """The jitted function of a key, and the shapes to lower it with. `weights`: the tree, of arrays or shapes."""
    if key.kind == "fresh":
        return jax.jit(partial(fresh, config=config)), ()
    if key.kind == "prefill":
        body = partial(prefill, config=config)
        packed = packed_size(key.size, config.pages_per_sequence)
    else:
        body = partial(decode, config=config, num_steps=key.num_steps, is_greedy=key.is_greedy)
        packed = key.size
    shapes = (weights, *_fresh_shapes(config), jax.eval_shape(partial(jnp.zeros, packed, jnp.int32)))
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
    return caches, empty_state(config.num_slots + 1, config.pages_per_sequence)


def prefill(
    weights: Weights, caches: Caches, state: SlotState, packed: jax.Array, *, config: ProgramConfig
) -> tuple[jax.Array, Caches, SlotState]:
    """One slice of one sequence: stores its keys and values; the last slice samples and fills the slot.

    Args:
        packed: int32, of `pack_slice`.

    Returns:
        int32 [1, 2], the sampled id and how the row ended (without meaning unless the slice is the last), and the
        donated arrays.
    """
    piece = unpack_slice(packed, config.pages_per_sequence)
    offsets = jnp.arange(piece.tokens.shape[0])
    places = TokenPlaces(
        positions=(piece.start + offsets)[None],
        block_tables=(piece.row.block_table,),
        is_real=(offsets < piece.num_tokens)[None],
    )
    tokens = piece.tokens[None]
    hidden, caches = forward(weights, caches, tokens, places, spec=config.spec, attention=config.attention)
    last = jax.lax.dynamic_index_in_dim(hidden, piece.num_tokens - 1, axis=1, keepdims=False)
    row = replace(piece.row, position=(piece.start + piece.num_tokens - 1)[None])
    ids, ends, row = _next_token(logits(weights, last, spec=config.spec), row, config=config, is_greedy=False)
    row = replace(row, is_active=row.is_active & piece.is_last)
    slot = jnp.where(piece.is_last, piece.slot, config.num_slots)
    return jnp.stack([ids, ends], axis=1), caches, put_rows(state, slot[None], row)


def decode(
    weights: Weights,
    caches: Caches,
    state: SlotState,
    slots: jax.Array,
    *,
    config: ProgramConfig,
    num_steps: int,
    is_greedy: bool,
) -> tuple[jax.Array, Caches, SlotState]:
    """`num_steps` tokens for each slot; a row that ends on the way stays silent.

    Args:
        slots: int32 [B]; `config.num_slots` for padding.

    Returns:
        int32 [B, num_steps + 1], the ids (-1 for none) and how each row ended, and the donated arrays.
    """

    def step(carry: tuple[Caches, SlotState], _: None) -> tuple[tuple[Caches, SlotState], tuple[jax.Array, jax.Array]]:
        caches, rows = carry
        places = TokenPlaces(rows.position[:, None], (rows.block_table,), rows.is_active[:, None])
        tokens = rows.last_token[:, None]
        hidden, caches = forward(weights, caches, tokens, places, spec=config.spec, attention=config.attention)
        scores = logits(weights, hidden[:, 0], spec=config.spec)
        ids, ends, rows = _next_token(scores, rows, config=config, is_greedy=is_greedy)
        return (caches, rows), (ids, ends)

    carry = (caches, take_rows(state, slots))
    if num_steps == 1:
        (caches, rows), (ids, ends) = step(carry, None)
        ids, ends = ids[None], ends[None]
    else:
        (caches, rows), (ids, ends) = jax.lax.scan(step, carry, length=num_steps)
    result = jnp.concatenate([ids.T, jnp.max(ends, axis=0)[:, None]], axis=1)
    return result, caches, put_progress(state, slots, rows)


def _next_token(
    scores: jax.Array, rows: SlotState, *, config: ProgramConfig, is_greedy: bool
) -> tuple[jax.Array, jax.Array, SlotState]:
    """Chooses a token for each active row and moves the row on: ids and ends, int32 [B] each, and the rows."""
    with jax.named_scope("sample"):
        positions = rows.position + 1
        if is_greedy:
            chosen = sampling.argmax(scores)
        else:
            chosen = sampling.sample(scores, rows, positions, is_dynamic=config.is_dynamic)
    active = rows.is_active
    remaining = rows.remaining - 1
    is_stop = jnp.any(rows.stop_ids == chosen[:, None], axis=1)
    ends = jnp.where(is_stop, END_STOP, jnp.where(remaining <= 0, END_LENGTH, END_NONE))
    ends = jnp.where(active, ends, END_NONE)
    rows = replace(
        rows,
        last_token=jnp.where(active, chosen, rows.last_token),
        position=jnp.where(active, positions, rows.position),
        remaining=jnp.where(active, remaining, rows.remaining),
        is_active=active & (ends == END_NONE),
    )
    return jnp.where(active, chosen, -1), ends, rows
