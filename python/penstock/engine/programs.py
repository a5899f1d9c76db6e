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
from penstock.engine.interface import (
    END_ERROR,
    END_LENGTH,
    END_NONE,
    END_STOP,
    MAX_TABLE_CHANGES_PER_ROW,
    Capacity,
    Yields,
)
from penstock.engine.packing import Layout
from penstock.engine.row_parameters import ROW_SIZE
from penstock.engine.state import (
    SlotState,
    change_tables,
    empty_state,
    put_join,
    put_progress,
    take_rows,
    unpack_rows,
)
from penstock.layers.attention import PagedAttention, TokenPlaces
from penstock.models.decoder import Caches, Weights, empty_caches, forward, logits
from penstock.models.spec import DecoderSpec


@dataclass(frozen=True, slots=True)
class ProgramConfig:
    """What all programs of one engine share. Static: part of every program's identity.

    Attributes:
        num_pages: with page 0.
        num_slots: without the padding row.
        num_page_groups: block tables per sequence.
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
    num_page_groups: int = 1

    @property
    def no_table_entry(self) -> int:
        """The number behind the last entry of the block tables, for changes that are none."""
        return self.num_page_groups * (self.num_slots + 1) * self.pages_per_sequence


@dataclass(frozen=True, slots=True)
class ProgramKey:
    """Names one program.

    Attributes:
        kind: "fresh", "prefill" or "decode".
        size: prefill: tokens; decode: rows.
        num_steps: decode: tokens per row.
        is_plain: no row asks for more than a temperature. Where trip counts may depend on data one program serves all.
    """

    kind: str
    size: int = 0
    num_steps: int = 1
    is_plain: bool = False

    def __str__(self) -> str:
        size = f"{self.size}x{self.num_steps}" if self.kind == "decode" else str(self.size)
        return f"{self.kind}[{size}{', plain' if self.is_plain else ''}]"


def prefill_buckets(max_prefill_tokens: int) -> tuple[int, ...]:
    """Span lengths: doubling from 16, the longest being exactly `max_prefill_tokens`."""
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
    shapes = [("prefill", size, 1) for size in prefill_buckets(capacity.max_prefill_tokens)]
    for num_steps in sorted({1, capacity.tokens_per_dispatch}):
        shapes += [("decode", size, num_steps) for size in decode_buckets(capacity.num_slots)]
    keys = [ProgramKey("fresh"), *(ProgramKey(*shape, is_plain) for shape in shapes for is_plain in variants)]
    return sorted(keys, key=lambda key: key.size * key.num_steps)


def span_layout(num_tokens: int, config: ProgramConfig) -> Layout:
    """The packed array of a prefill program.

    Parts: slot; num_tokens that are real; start, the first one's position; yields, a `Yields`; is_join; params, of a
    `Join`; entries and pages of block-table changes, as `change_tables` takes them; tokens.
    """
    num_changes = config.num_page_groups * config.pages_per_sequence
    return Layout.of(
        slot=1, num_tokens=1, start=1, yields=1, is_join=1,
        params=ROW_SIZE, entries=num_changes, pages=num_changes, tokens=num_tokens,
    )  # fmt: skip


def decode_layout(num_rows: int, config: ProgramConfig) -> Layout:
    """The packed array of a decode program. Parts: slots, `num_slots` for padding; entries and pages, as above."""
    num_changes = num_rows * config.num_page_groups * MAX_TABLE_CHANGES_PER_ROW
    return Layout.of(slots=num_rows, entries=num_changes, pages=num_changes)


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
