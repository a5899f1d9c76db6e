"""The end of every step: from logits to each row's next token, its end, and its logprobs where somebody asks."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from penstock.engine import sampling
from penstock.engine.interface import END_ERROR, END_LENGTH, END_NONE, END_STOP
from penstock.engine.logit_rules import RowRules, RuleState, apply_rules, ban_stops, count_tokens, uses
from penstock.engine.logprobs import logprob_words, no_words
from penstock.engine.row_parameters import Variant
from penstock.engine.state import RowParams, SlotState, unpack_rows
from penstock.engine.token_rules import RowUse


class NextTokens(NamedTuple):
    """What B rows come to.

    Attributes:
        ids: int32 [B], -1 for none.
        ends: int32 [B], END_*.
        columns: int32 [B, COLUMNS.num_words], of a program with the whole sampler.
        rows: the rows, moved on.
        rules: of all slots, with the new tokens counted.
    """

    ids: jax.Array
    ends: jax.Array
    columns: jax.Array | None
    rows: SlotState
    rules: RuleState


def next_tokens(
    scores: jax.Array, rows: SlotState, rules: RowRules, *, variant: Variant, is_dynamic: bool
) -> NextTokens:
    """Chooses a token for each active row and moves the row on.

    A row of which masks, rules or stop tokens leave nothing ends as if it had stopped, without a token.

    Args:
        scores: float32 [B, V], the raw logits.
    """
    params = unpack_rows(rows.params)
    with jax.named_scope("sample"):
        chosen, peaks, columns = _choose(scores, params, rows, rules, variant=variant, is_dynamic=is_dynamic)
    is_broken, has_none = jnp.isnan(peaks), peaks == -jnp.inf
    wants_none = params["max_tokens"] <= 0  # the prompt alone
    num_generated = rows.num_generated + 1
    ends = jnp.where(num_generated >= params["max_tokens"], END_LENGTH, END_NONE)
    is_stop = has_none | jnp.any(params["stop_ids"] == chosen[:, None], axis=1)
    ends = jnp.where(~wants_none & is_stop, END_STOP, ends)
    ends = jnp.where(rows.is_active, jnp.where(is_broken, END_ERROR, ends), END_NONE)
    makes_token = rows.is_active & ~is_broken & ~wants_none & ~has_none
    ids = jnp.where(makes_token, chosen, -1)
    recent = rows.recent
    if variant is Variant.FULL:
        newest = jnp.concatenate([recent[:, 1:], ids[:, None]], axis=1)
        recent = jnp.where(makes_token[:, None], newest, recent)
    moved = rows.moved(
        last_token=jnp.where(makes_token, chosen, rows.last_token),
        num_generated=jnp.where(makes_token, num_generated, rows.num_generated),
        position=jnp.where(makes_token, rows.position + 1, rows.position),
        is_active=rows.is_active & (ends == END_NONE),
        recent=recent,
    )
    if variant is not Variant.FULL:
        return NextTokens(ids, ends, None, moved, rules.state)
    return NextTokens(ids, ends, columns, moved, count_tokens(rules.state, rules.slots, params, ids))


def _choose(
    scores: jax.Array, params: RowParams, rows: SlotState, rules: RowRules, *, variant: Variant, is_dynamic: bool
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """Ids and peaks of `sampling.sample`, and logprobs of the whole sampler."""
    positions, num_generated = rows.position + 1, rows.num_generated
    if variant is Variant.PLAIN:
        return *sampling.sample_plain(scores, params, positions), None
    if variant is Variant.FILTERED:
        allowed = ban_stops(scores, params, num_generated)
        return *sampling.sample(allowed, params, positions, is_dynamic=is_dynamic), None

    def whole() -> tuple[jax.Array, jax.Array, jax.Array]:
        changed = apply_rules(scores, params, num_generated, rules, is_dynamic=is_dynamic)
        chosen, peaks = sampling.sample(changed, params, positions, is_dynamic=is_dynamic)
        return chosen, peaks, _columns(scores, params, rows, chosen, is_dynamic=is_dynamic)

    def plain() -> tuple[jax.Array, jax.Array, jax.Array]:
        return *sampling.sample_plain(scores, params, positions, is_dynamic=True), no_words(len(positions))

    if not is_dynamic:
        return whole()
    # A branch of its own for batches that need little: the other one keeps a copy of the logits, even where branches
    # in it leave all out.
    is_plain = jnp.all(_is_plain(params, num_generated)) & ~rules.has_masks
    found: tuple[jax.Array, jax.Array, jax.Array] = jax.lax.cond(is_plain, plain, whole)
    return found


def _is_plain(params: RowParams, num_generated: jax.Array) -> jax.Array:
    """bool [B]: `Variant.PLAIN` serves the row from here on."""
    has_filter = (params["top_k"] > 0) | (params["top_p"] < 1) | (params["min_p"] > 0)
    return (params["uses"] == 0) & ~has_filter & (num_generated >= params["min_tokens"])


def _columns(scores: jax.Array, params: RowParams, rows: SlotState, ids: jax.Array, *, is_dynamic: bool) -> jax.Array:
    if not is_dynamic:
        return logprob_words(scores, ids)
    is_asked = jnp.any(uses(params, RowUse.LOGPROBS) & rows.is_active)
    found: jax.Array = jax.lax.cond(is_asked, lambda: logprob_words(scores, ids), lambda: no_words(len(ids)))
    return found
