"""Changes the logits of single tokens before one is drawn, row by row, and keeps the counts that penalties need.

The order is vLLM's, and transformers' where it has the same filters:

1. raw logits, of which logprobs are told (`engine.logprobs`);
2. mask (of a grammar), allowed ids, bad words, and stop tokens before `min_tokens`: those tokens become -inf;
3. logit bias, added;
4. repetition penalty (prompt and new tokens), then frequency and presence penalty (new tokens);
5. temperature, top-k, top-p, min-p (`engine.sampling`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from penstock.engine.state import RowParams
from penstock.engine.token_rules import NUM_RECENT, RowUse, num_mask_words, rules_layout
from penstock.generation import MAX_BAD_WORD_TOKENS

#: Tokens are counted up to this.
_MAX_COUNT = 2**16 - 1


@jax.tree_util.register_dataclass
@dataclass(frozen=True, slots=True)
class RuleState:
    """A row per slot and one for padding, as in `SlotState`; also donated. What stands in the row of a slot that uses
    no rules is what the last one left.

    Attributes:
        words: int32 [S, words], as `rules_layout`.
        counts: uint16 [S, V]; how often each token was made.
    """

    words: jax.Array
    counts: jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True, slots=True)
class RowRules:
    """Where B rows find their rules.

    Attributes:
        state: of all slots.
        slots: int32 [B].
        recent: int32 [B, NUM_RECENT], the newest tokens that were made, oldest first; -1 for none.
        masks: uint32 [B, ceil(V / 32)], the step's.
        has_masks: bool [], whether any row's mask forbids anything.
    """

    state: RuleState
    slots: jax.Array
    recent: jax.Array
    masks: jax.Array
    has_masks: jax.Array


def empty_rules(num_rows: int, vocab_size: int) -> RuleState:
    """Of an empty state. `num_rows` counts the padding row."""
    return RuleState(
        words=jnp.zeros((num_rows, rules_layout(vocab_size).num_words), jnp.int32),
        counts=jnp.zeros((num_rows, vocab_size), jnp.uint16),
    )


def put_rules(
    state: RuleState, slot: jax.Array, words: jax.Array, *, made: jax.Array, is_first: jax.Array
) -> RuleState:
    """`state` with the rules of a sequence in `slot`, int32 [].

    Args:
        made: int32 [n], tokens that it has made before, to be counted; -1 is none.
        is_first: bool []; what is counted in the slot is somebody else's.
    """
    old = jax.lax.dynamic_index_in_dim(state.counts, slot, axis=0, keepdims=False).astype(jnp.int32)
    places = jnp.where(made >= 0, made, state.counts.shape[1])
    new = jnp.where(is_first, 0, old).at[places].add(1, mode="drop")
    counts = jnp.minimum(new, _MAX_COUNT).astype(jnp.uint16)
    return RuleState(
        words=jax.lax.dynamic_update_index_in_dim(state.words, words, slot, axis=0),
        counts=jax.lax.dynamic_update_index_in_dim(state.counts, counts, slot, axis=0),
    )


def count_tokens(state: RuleState, slots: jax.Array, params: RowParams, ids: jax.Array) -> RuleState:
    """`state` with one more of each of `ids`, int32 [B], in the rows that use penalties; -1 is none. In place."""
    is_counted = uses(params, RowUse.PENALTIES) & (ids >= 0)
    old = state.counts[slots, jnp.maximum(ids, 0)]
    new = jnp.minimum(old.astype(jnp.int32) + 1, _MAX_COUNT).astype(jnp.uint16)
    places = jnp.where(is_counted, ids, state.counts.shape[1])
    return RuleState(state.words, state.counts.at[slots, places].set(new, mode="drop"))


def uses(params: RowParams, use: RowUse) -> jax.Array:
    """bool [B]."""
    return (params["uses"] & use) != 0


def apply_rules(
    logits: jax.Array, params: RowParams, num_generated: jax.Array, rules: RowRules, *, is_dynamic: bool
) -> jax.Array:
    """Steps 2 to 4 of the module's order. Few branches with much in each, as every one of them costs compile time.

    Args:
        logits: float32 [B, V].
        num_generated: int32 [B], new tokens so far.
        is_dynamic: leave out what no row uses, by branches that depend on data.
    """
    words = rules_layout(logits.shape[1]).parts(rules.state.words)
    has_ids, has_words = uses(params, RowUse.ALLOWED_IDS), uses(params, RowUse.BAD_WORDS)
    has_bias, has_penalty = uses(params, RowUse.LOGIT_BIAS), uses(params, RowUse.PENALTIES)
    is_early = num_generated < params["min_tokens"]

    def keep_allowed(logits: jax.Array) -> jax.Array:
        bits = jnp.where(has_ids[:, None], words["allowed"][rules.slots], -1)
        bits &= jnp.where(rules.has_masks, jax.lax.bitcast_convert_type(rules.masks, jnp.int32), -1)
        return jnp.where(unpack_bits(bits, logits.shape[1]), logits, -jnp.inf)

    def change_tokens(logits: jax.Array) -> jax.Array:
        bad = last_of_bad_words(words["bad_words"][rules.slots], rules.recent)
        stops = _early_stops(params, num_generated)
        banned = jnp.concatenate([jnp.where(has_words[:, None], bad, -1), stops], axis=1)
        biased = jnp.where(has_bias[:, None], words["bias_ids"][rules.slots], -1)
        bias = jax.lax.bitcast_convert_type(words["bias"][rules.slots], jnp.float32)
        return add_to_tokens(
            logits,
            jnp.concatenate([banned, biased], axis=1),
            jnp.concatenate([jnp.full(banned.shape, -jnp.inf), bias], axis=1),
        )

    def penalise_seen(logits: jax.Array) -> jax.Array:
        penalised = penalise(logits, params, rules.state.counts[rules.slots], words["prompt_seen"][rules.slots])
        return jnp.where(has_penalty[:, None], penalised, logits)

    logits = _where(jnp.any(has_ids) | rules.has_masks, keep_allowed, logits, is_dynamic=is_dynamic)
    is_changed = jnp.any(has_words | has_bias | is_early)
    logits = _where(is_changed, change_tokens, logits, is_dynamic=is_dynamic)
    return _where(jnp.any(has_penalty), penalise_seen, logits, is_dynamic=is_dynamic)


def ban_stops(logits: jax.Array, params: RowParams, num_generated: jax.Array) -> jax.Array:
    """Logits without the stop tokens of rows that have not made `min_tokens` others: all of the order's steps 2 to 4
    where no row has rules."""
    stops = _early_stops(params, num_generated)
    return add_to_tokens(logits, stops, jnp.full(stops.shape, -jnp.inf))


def _early_stops(params: RowParams, num_generated: jax.Array) -> jax.Array:
    is_early = num_generated < params["min_tokens"]
    return jnp.where(is_early[:, None], params["stop_ids"], -1)


def _where(
    is_used: jax.Array, change: Callable[[jax.Array], jax.Array], logits: jax.Array, *, is_dynamic: bool
) -> jax.Array:
    """The changed logits where `is_used`, bool []."""
    if not is_dynamic:
        return change(logits)
    result: jax.Array = jax.lax.cond(is_used, change, lambda logits: logits, logits)
    return result


def unpack_bits(words: jax.Array, vocab_size: int) -> jax.Array:
    """bool [B, V] of 32-bit [B, ceil(V / 32)]."""
    assert words.shape[1] == num_mask_words(vocab_size), "masks are of another vocabulary"
    bits = (words[:, :, None] >> jnp.arange(32, dtype=words.dtype)) & 1
    return bits.reshape(words.shape[0], -1)[:, :vocab_size] != 0


def last_of_bad_words(bad_words: jax.Array, recent: jax.Array) -> jax.Array:
    """The last tokens of the bad words whose other tokens are the newest that were made: int32 [B, forms], -1 for
    those of the other words.

    Args:
        bad_words: int32 [B, forms * MAX_BAD_WORD_TOKENS], as `rules_layout`.
        recent: int32 [B, NUM_RECENT].
    """
    words = bad_words.reshape(len(recent), -1, MAX_BAD_WORD_TOKENS)
    prefix, last = words[..., :NUM_RECENT], words[..., NUM_RECENT]
    is_begun = jnp.all((prefix < 0) | (prefix == recent[:, None]), axis=2)
    return jnp.where(is_begun, last, -1)


def add_to_tokens(logits: jax.Array, ids: jax.Array, values: jax.Array) -> jax.Array:
    """Adds `values`, float32 [B, n], to the tokens `ids`, int32 [B, n]; those outside the vocabulary are none."""
    places = jnp.where(ids < 0, logits.shape[1], ids)  # a negative index would count from the end
    return logits.at[jnp.arange(len(ids))[:, None], places].add(values, mode="drop")


def penalise(logits: jax.Array, params: RowParams, counts: jax.Array, prompt_seen: jax.Array) -> jax.Array:
    """Repetition penalty of what was seen, then frequency and presence penalty of what was made.

    Args:
        counts: uint16 [B, V]; prompt_seen: bits, int32 [B, ceil(V / 32)].
    """
    repetition = params["repetition_penalty"][:, None]
    is_seen = unpack_bits(prompt_seen, logits.shape[1]) | (counts > 0)
    penalised = jnp.where(logits > 0, logits / repetition, logits * repetition)
    logits = jnp.where(is_seen, penalised, logits)
    logits = logits - params["frequency_penalty"][:, None] * counts.astype(jnp.float32)
    return logits - jnp.where(counts > 0, params["presence_penalty"][:, None], 0.0)
