"""What the device remembers of every slot between steps, and the packed int32 arrays that change it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np

from penstock.engine.row_parameters import NEUTRAL_ROW, ROW_LAYOUT, ROW_PARAMETERS
from penstock.engine.token_rules import NUM_RECENT

#: The parameters of B rows by name: [B], or [B, size] where one has several values.
RowParams = dict[str, jax.Array]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, slots=True)
class SlotState:
    """One row per slot, and one more for padding, which is never active. Donated through every step.

    Attributes:
        last_token: int32 [S]; the newest token, whose key and value are not stored yet.
        position: int32 [S]; where `last_token` stands in its sequence.
        num_generated: int32 [S]; new tokens so far.
        is_active: bool [S]; the row makes tokens when a step names it.
        recent: int32 [S, NUM_RECENT]; the newest tokens that were made, oldest first, -1 for none. Kept by programs
            that have the whole sampler.
        params: int32 [S, ROW_SIZE], as `pack_row` packs them.
        block_tables: int32 [G, S, P]; for each page group the pages of a sequence in order.
    """

    last_token: jax.Array
    position: jax.Array
    num_generated: jax.Array
    is_active: jax.Array
    recent: jax.Array
    params: jax.Array
    block_tables: jax.Array


def empty_state(num_rows: int, pages_per_sequence: int, *, num_page_groups: int = 1) -> SlotState:
    """No slot active. `num_rows` counts the padding row."""
    zeros = jnp.zeros(num_rows, jnp.int32)
    return SlotState(
        last_token=zeros,
        position=zeros,
        num_generated=zeros,
        is_active=jnp.zeros(num_rows, bool),
        recent=jnp.full((num_rows, NUM_RECENT), -1),
        params=jnp.tile(jnp.asarray(NEUTRAL_ROW), (num_rows, 1)),
        block_tables=jnp.zeros((num_page_groups, num_rows, pages_per_sequence), jnp.int32),
    )


def unpack_rows(params: jax.Array) -> RowParams:
    """The parameters in `params`, int32 [B, ROW_SIZE], in their own types."""
    unpacked = {}
    for name, part in ROW_LAYOUT.parts(params).items():
        values = jax.lax.bitcast_convert_type(part, np.dtype(ROW_PARAMETERS[name].dtype))
        unpacked[name] = values[:, 0] if ROW_PARAMETERS[name].size == 1 else values
    return unpacked


def take_rows(state: SlotState, slots: jax.Array) -> SlotState:
    """The rows of `slots`, int32 [B]."""
    return SlotState(
        last_token=state.last_token[slots],
        position=state.position[slots],
        num_generated=state.num_generated[slots],
        is_active=state.is_active[slots],
        recent=state.recent[slots],
        params=state.params[slots],
        block_tables=state.block_tables[:, slots],
    )


def put_progress(state: SlotState, slots: jax.Array, rows: SlotState) -> SlotState:
    """`state` with what making tokens changes in the rows of `slots`. The padding row may be there many times: it is
    never active."""
    return replace(
        state,
        last_token=state.last_token.at[slots].set(rows.last_token),
        position=state.position.at[slots].set(rows.position),
        num_generated=state.num_generated.at[slots].set(rows.num_generated),
        is_active=state.is_active.at[slots].set(rows.is_active),
        recent=state.recent.at[slots].set(rows.recent),
    )


def put_start(state: SlotState, slot: jax.Array, position: jax.Array, is_active: jax.Array) -> SlotState:
    """`state` with a prompt whose last token stands at `position` in `slot`, [1] each."""
    return replace(
        state,
        position=state.position.at[slot].set(position),
        is_active=state.is_active.at[slot].set(is_active),
    )


def put_join(
    state: SlotState, slot: jax.Array, params: jax.Array, *, num_generated: jax.Array, recent: jax.Array
) -> SlotState:
    """`state` with another sequence in `slot`, [1], not active before its prompt is there, and the same block tables.

    Args:
        num_generated: int32 [1], tokens that it has made before; recent: int32 [NUM_RECENT], the newest of them.
    """
    return replace(
        state,
        num_generated=state.num_generated.at[slot].set(num_generated),
        is_active=state.is_active.at[slot].set(False),
        recent=state.recent.at[slot].set(recent),
        params=state.params.at[slot].set(params),
    )


def change_tables(state: SlotState, entries: jax.Array, pages: jax.Array) -> SlotState:
    """`state` with other pages in its block tables.

    Args:
        entries: int32 [K], of the flattened tables (group, then slot, then place); those beyond them change nothing.
        pages: int32 [K].
    """
    flat = state.block_tables.reshape(-1).at[entries].set(pages, mode="drop")
    return replace(state, block_tables=flat.reshape(state.block_tables.shape))
