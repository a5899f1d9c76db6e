"""What the programs compute. Which there are is told by `engine.program_set`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from penstock.engine.interface import Yields
from penstock.engine.logit_rules import RowRules, RuleState, empty_rules, put_rules
from penstock.engine.logprobs import logprob_words
from penstock.engine.mesh import WHOLE, over_devices
from penstock.engine.next_token import next_tokens
from penstock.engine.program_set import (
    SCORE_BLOCK,
    ProgramConfig,
    ProgramKey,
    decode_layout,
    join_layout,
    mixed_layouts,
    num_score_blocks,
    sample_buckets,
    sample_layout,
    span_layout,
)
from penstock.engine.row_parameters import Variant
from penstock.engine.state import (
    SlotState,
    change_tables,
    empty_state,
    prompt_lengths,
    put_join,
    put_progress,
    put_start,
    take_rows,
)
from penstock.layers.attention import TokenPlaces
from penstock.layers.step_places import StepPlaces
from penstock.models.decoder import Caches, Weights, empty_caches, forward, logits
from penstock.models.partition import cache_partitions, weight_partitions


def program(key: ProgramKey, config: ProgramConfig, weights: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """The jitted function of a key, and the shapes to lower it with. `weights`: the tree, of arrays or shapes."""
    body, donated, shapes = _bodies(key, config, weights)[key.kind]
    return _jitted(body, key, config, donated=donated), shapes


def _jitted(
    body: Callable[..., Any], key: ProgramKey, config: ProgramConfig, *, donated: tuple[int, ...] = ()
) -> Callable[..., Any]:
    """`body` for the one device, or for all."""
    if config.num_devices == 1:
        return jax.jit(body, donate_argnums=donated)
    arguments, result = _partitions(key, config)
    return over_devices(body, num_devices=config.num_devices, arguments=arguments, result=result, donated=donated)


def _bodies(
    key: ProgramKey, config: ProgramConfig, weights: Any
) -> dict[str, tuple[Callable[..., Any], tuple[int, ...], tuple[Any, ...]]]:
    """For each kind its function, the numbers of its donated arguments and the shapes of all."""
    caches, state, rules = _fresh_shapes(config)
    hidden, vocab, size, dtype = config.spec.hidden_size, config.spec.vocab_size, key.size, config.dtype
    masks = _shape(size, config.num_mask_words, dtype=jnp.uint32)
    of_decode = _shape(decode_layout(size, config).num_words)
    return {
        "fresh": (partial(fresh, config=config), (), ()),
        "rules": (partial(join_rules, config=config), (0,), (rules, _shape(join_layout(config).num_words))),
        "score": (
            partial(score_prompt, config=config),
            (),
            (weights, _shape(size, hidden, dtype=dtype), _shape(size)),
        ),
        "prefill": (
            partial(prefill, config=config, num_tokens=size),
            (1, 2),
            (weights, caches, state, _shape(span_layout(size, config).num_words)),
        ),
        "head": (partial(logits, spec=config.spec), (), (weights, _shape(size, hidden, dtype=dtype))),
        "sample": (
            partial(sample, config=config, num_rows=size, variant=key.variant),
            (0, 1),
            (state, rules, _shape(size, vocab, dtype=jnp.float32), _shape(sample_layout(size).num_words), masks),
        ),
        "advance": (
            partial(advance, config=config, num_rows=size),
            (1, 2),
            (weights, caches, state, of_decode),
        ),
        "mixed": (
            partial(mixed, config=config, num_rows=size),
            (1, 2),
            (weights, caches, state, _shape(mixed_layouts(size, config)[0].num_words)),
        ),
        "decode": (
            partial(decode, config=config, num_rows=size, num_steps=key.num_steps, variant=key.variant),
            (1, 2, 3),
            (weights, caches, state, rules, of_decode, masks),
        ),
    }


def program_trees(key: ProgramKey, config: ProgramConfig, weights: Any) -> tuple[Any, Any]:
    """The tree structures of a program's arguments (positional, keyword) and of its result."""
    caches, state, rules = _fresh_shapes(config)
    arguments, result = _signature(key, config, weights=weights, caches=caches, state=state, rules=rules, array=0)
    return jax.tree.structure((arguments, {})), jax.tree.structure(result)


def _partitions(key: ProgramKey, config: ProgramConfig) -> tuple[Any, Any]:
    """How a program's arguments and its result are split over devices."""
    weights, caches = weight_partitions(config.spec), cache_partitions(config.spec, config.attention)
    return _signature(key, config, weights=weights, caches=caches, state=WHOLE, rules=WHOLE, array=WHOLE)


def _signature(
    key: ProgramKey, config: ProgramConfig, *, weights: Any, caches: Any, state: Any, rules: Any, array: Any
) -> tuple[tuple[Any, ...], Any]:
    """A program's arguments and its result, of what is given for each part of them."""
    columns = array if key.variant is Variant.FULL else None
    num_tokens = config.mixed_tokens if key.kind == "mixed" else key.size
    states = SpanStates((array,) * num_score_blocks(num_tokens), array, array)
    signatures: dict[str, tuple[tuple[Any, ...], Any]] = {
        "fresh": ((), (caches, state, rules)),
        "rules": ((rules, array), rules),
        "score": ((weights, array, array), array),
        "prefill": ((weights, caches, state, array), (states, caches, state)),
        "head": ((weights, array), array),
        "sample": ((state, rules, array, array, array), (array, columns, state, rules)),
        "advance": ((weights, caches, state, array), (array, caches, state)),
        "mixed": ((weights, caches, state, array), (states, array, caches, state)),
        "decode": ((weights, caches, state, rules, array, array), (array, columns, caches, state, rules)),
    }
    return signatures[key.kind]


def _shape(*sizes: int, dtype: Any = jnp.int32) -> Any:
    return jax.ShapeDtypeStruct(sizes, dtype)  # type: ignore[no-untyped-call]  # jax has no types here


@cache
def _fresh_shapes(config: ProgramConfig) -> tuple[Any, Any, Any]:
    caches, state, rules = jax.eval_shape(_jitted(partial(fresh, config=config), ProgramKey("fresh"), config))
    return caches, state, rules


def cache_bytes(config: ProgramConfig) -> int:
    """Of the KV cache that `fresh` makes."""
    return sum(cache.size * cache.dtype.itemsize for cache in _fresh_shapes(config)[0])


def fresh(*, config: ProgramConfig) -> tuple[Caches, SlotState, RuleState]:
    """An empty cache, no active slot and no rules."""
    num_rows = config.num_slots + 1
    caches = empty_caches(config.spec, config.attention, num_pages=config.num_pages, dtype=config.kv_dtype)
    state = empty_state(num_rows, config.pages_per_sequence, num_page_groups=config.num_page_groups)
    return caches, state, empty_rules(num_rows, config.spec.vocab_size)


def join_rules(rules: RuleState, packed: jax.Array, *, config: ProgramConfig) -> RuleState:
    """A sequence that uses rules takes a slot, or more of what it has made is counted. `packed`: int32, of
    `join_layout`. The rules are donated."""
    parts = join_layout(config).parts(packed)
    return put_rules(rules, parts["slot"][0], parts["words"], made=parts["made"], is_first=parts["is_first"][0] != 0)


class SpanStates(NamedTuple):
    """Hidden states of one span.

    Attributes:
        blocks: all of them, each [SCORE_BLOCK, D], for `score_prompt`; zeros behind the bucket.
        last: [1, D], of the last real token, for `logits`.
        pooled: float32 [3, D]: the first token's, the last's, and the sum of all real ones.
    """

    blocks: tuple[jax.Array, ...]
    last: jax.Array
    pooled: jax.Array


def prefill(
    weights: Weights, caches: Caches, state: SlotState, packed: jax.Array, *, config: ProgramConfig, num_tokens: int
) -> tuple[SpanStates, Caches, SlotState]:
    """One span of one sequence: stores its keys and values. After one that yields a token its slot is active, and
    `logits` and `sample` make that token. They are no part of this: the sampler would be most of the program, for every
    bucket, and spans in the midst of a prompt need no logits at all.

    Args:
        packed: int32, of `span_layout`.

    Returns:
        The hidden states, and the donated arrays.
    """
    parts = span_layout(num_tokens, config).parts(packed)
    state = _join(state, parts, config=config)
    places = StepPlaces.of(_span_places(state, parts))
    hidden, caches = forward(weights, caches, parts["tokens"], places, spec=config.spec, attention=config.attention)
    state = _start(state, parts, config=config)
    return _span_states(hidden, parts["num_tokens"][0]), caches, state


def _join(state: SlotState, parts: dict[str, jax.Array], *, config: ProgramConfig) -> SlotState:
    """`state` with what a span changes before it is computed. `parts`: of `span_layout`."""
    state = change_tables(state, parts["entries"], parts["pages"])
    return put_join(
        state, jnp.where(parts["is_join"] != 0, parts["slot"], config.num_slots), parts["params"],
        num_generated=parts["num_generated"], recent=parts["recent"],
    )  # fmt: skip


def _start(state: SlotState, parts: dict[str, jax.Array], *, config: ProgramConfig) -> SlotState:
    """`state` with the slot of a span that yields a token active."""
    yields = (parts["yields"] & Yields.TOKEN) != 0
    position = parts["start"] + parts["num_tokens"] - 1
    return put_start(state, jnp.where(yields, parts["slot"], config.num_slots), position, yields)


def _span_places(state: SlotState, parts: dict[str, jax.Array]) -> TokenPlaces:
    offsets = jnp.arange(parts["tokens"].shape[0])
    return TokenPlaces(
        positions=(parts["start"] + offsets)[None],
        block_tables=tuple(state.block_tables[:, parts["slot"]]),
        is_real=(offsets < parts["num_tokens"])[None],
        prompt_lengths=prompt_lengths(state.params[parts["slot"]]),
    )


def _span_states(hidden: jax.Array, num_real: jax.Array) -> SpanStates:
    """Of hidden states [T, D], the first `num_real` of which are real."""
    last = jax.lax.dynamic_index_in_dim(hidden, num_real - 1, axis=0)
    is_real = jnp.arange(len(hidden)) < num_real
    total = jnp.sum(jnp.where(is_real[:, None], hidden.astype(jnp.float32), 0), axis=0)
    num_blocks = num_score_blocks(len(hidden))
    whole = jnp.pad(hidden, ((0, num_blocks * SCORE_BLOCK - len(hidden)), (0, 0)))
    return SpanStates(
        tuple(jnp.split(whole, num_blocks)),
        last,
        jnp.stack([hidden[0].astype(jnp.float32), last[0].astype(jnp.float32), total]),
    )


def advance(
    weights: Weights, caches: Caches, state: SlotState, packed: jax.Array, *, config: ProgramConfig, num_rows: int
) -> tuple[jax.Array, Caches, SlotState]:
    """The first half of a step of decode, for `sample`.

    Args:
        packed: int32, of `decode_layout`.

    Returns:
        Logits, float32 [the bucket of `sample`, V], those of padding 0; and the donated arrays.
    """
    parts = decode_layout(num_rows, config).parts(packed)
    state = change_tables(state, parts["entries"], parts["pages"])
    scores, caches = _scores(weights, caches, take_rows(state, parts["slots"]), config=config)
    size = next(bucket for bucket in sample_buckets(config.num_slots) if bucket >= num_rows)
    return jnp.pad(scores, ((0, size - num_rows), (0, 0))), caches, state


def mixed(
    weights: Weights, caches: Caches, state: SlotState, packed: jax.Array, *, config: ProgramConfig, num_rows: int
) -> tuple[SpanStates, jax.Array, Caches, SlotState]:
    """`prefill` of a span and `advance` of rows of other slots in one pass over the weights.

    Args:
        packed: int32, of `mixed_layouts`.

    Returns:
        The span's hidden states; the rows' logits, float32 [num_rows, V]; and the donated arrays.
    """
    both, of_span, of_decode = mixed_layouts(num_rows, config)
    span, decode = of_span.parts(both.parts(packed)["span"]), of_decode.parts(both.parts(packed)["decode"])
    state = change_tables(_join(state, span, config=config), decode["entries"], decode["pages"])
    rows = take_rows(state, decode["slots"])
    places = StepPlaces.of(_span_places(state, span), _row_places(rows))
    tokens = places.join([span["tokens"][None], rows.last_token[:, None]])
    hidden, caches = forward(weights, caches, tokens, places, spec=config.spec, attention=config.attention)
    of_tokens, of_rows = places.split(hidden)
    state = _start(state, span, config=config)
    scores = logits(weights, of_rows[:, 0], places.parts[1].real_rows, spec=config.spec)
    return _span_states(of_tokens[0], span["num_tokens"][0]), scores, caches, state


def sample(
    state: SlotState,
    rules: RuleState,
    scores: jax.Array,
    packed: jax.Array,
    masks: jax.Array,
    *,
    config: ProgramConfig,
    num_rows: int,
    variant: Variant,
) -> tuple[jax.Array, jax.Array | None, SlotState, RuleState]:
    """A token for each slot: the second half of decode, and the token after a prompt.

    Args:
        scores: float32 [num_rows, V], of `advance` or `logits`.
        packed: int32, of `sample_layout`.
        masks: uint32 [num_rows, ceil(V / 32)], read where `packed` says so and the program has the whole sampler.

    Returns:
        int32 [num_rows, 2], the sampled id (-1 for none) and how the row ended; int32 [num_rows, 1, COLUMNS.num_words]
        of a program with the whole sampler; and the donated arrays.
    """
    parts = sample_layout(num_rows).parts(packed)
    slots, rows = parts["slots"], take_rows(state, parts["slots"])
    of_rows = RowRules(rules, slots, rows.recent, masks, parts["has_masks"][0] != 0)
    new = next_tokens(scores, rows, of_rows, variant=variant, is_dynamic=config.is_dynamic)
    columns = None if new.columns is None else new.columns[:, None]
    return jnp.stack([new.ids, new.ends], axis=1), columns, put_progress(state, slots, new.rows), new.rules


def _scores(weights: Weights, caches: Caches, rows: SlotState, *, config: ProgramConfig) -> tuple[jax.Array, Caches]:
    """Logits, float32 [B, V], after each row's newest token, which is stored."""
    places = StepPlaces.of(_row_places(rows))
    hidden, caches = forward(weights, caches, rows.last_token, places, spec=config.spec, attention=config.attention)
    return logits(weights, hidden, places.real_rows, spec=config.spec), caches


def _row_places(rows: SlotState) -> TokenPlaces:
    """Of each row's newest token."""
    lengths = prompt_lengths(rows.params)
    return TokenPlaces(rows.position[:, None], tuple(rows.block_tables), rows.is_active[:, None], lengths)


def decode(  # noqa: PLR0917 - as the compiled programs are called
    weights: Weights,
    caches: Caches,
    state: SlotState,
    rules: RuleState,
    packed: jax.Array,
    masks: jax.Array,
    *,
    config: ProgramConfig,
    num_rows: int,
    num_steps: int,
    variant: Variant,
) -> tuple[jax.Array, jax.Array | None, Caches, SlotState, RuleState]:
    """`num_steps` tokens for each slot; a row that ends on the way stays silent.

    Args:
        packed: int32, of `decode_layout`.
        masks: uint32 [num_rows, ceil(V / 32)], as in `sample`.

    Returns:
        int32 [num_rows, num_steps + 1], the ids (-1 for none) and how each row ended; int32 [num_rows, num_steps,
        COLUMNS.num_words] of a program with the whole sampler; and the donated arrays.
    """
    parts = decode_layout(num_rows, config).parts(packed)
    slots, has_masks = parts["slots"], parts["has_masks"][0] != 0
    state = change_tables(state, parts["entries"], parts["pages"])

    def step(carry: tuple[Caches, SlotState, RuleState], _: None) -> tuple[tuple[Caches, SlotState, RuleState], Any]:
        caches, rows, rules = carry
        scores, caches = _scores(weights, caches, rows, config=config)
        of_rows = RowRules(rules, slots, rows.recent, masks, has_masks)
        new = next_tokens(scores, rows, of_rows, variant=variant, is_dynamic=config.is_dynamic)
        return (caches, new.rows, new.rules), (new.ids, new.ends, new.columns)

    carry = (caches, take_rows(state, slots), rules)
    if num_steps == 1:
        carry, made = step(carry, None)
        made = jax.tree.map(lambda column: column[None], made)
    else:
        carry, made = jax.lax.scan(step, carry, length=num_steps)
    (caches, rows, rules), (ids, ends, columns) = carry, made
    result = jnp.concatenate([ids.T, jnp.max(ends, axis=0)[:, None]], axis=1)
    columns = None if columns is None else jnp.swapaxes(columns, 0, 1)
    return result, columns, caches, put_progress(state, slots, rows), rules


def score_prompt(weights: Weights, hidden: jax.Array, targets: jax.Array, *, config: ProgramConfig) -> jax.Array:
    """Logprobs of a block of a prompt's tokens, given what stands before them.

    Args:
        hidden: [SCORE_BLOCK, D], of `prefill`.
        targets: int32 [SCORE_BLOCK], the token after each position, -1 for none.

    Returns:
        int32 [SCORE_BLOCK, COLUMNS.num_words].
    """
    return logprob_words(logits(weights, hidden, spec=config.spec), targets)
