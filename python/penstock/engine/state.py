"""What the device remembers of every slot between steps, and the packed int32 arrays that change it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np

from penstock.engine.packing import Layout
from penstock.engine.row_parameters import NEUTRAL_ROW, ROW_LAYOUT, ROW_PARAMETERS
from penstock.engine.token_rules import NUM_RECENT

#: What making tokens changes in a row.
PROGRESS = Layout.of(last_token=1, num_generated=1, position=1, is_active=1, recent=NUM_RECENT)
#: The same of a sequence whose prompt is not there yet.
NEW_PROGRESS = np.array([0, 0, 0, 0] + [-1] * NUM_RECENT, np.int32)
#: Position and is_active, side by side.
_START = slice(PROGRESS.slices["position"].start, PROGRESS.slices["is_active"].stop)

#: The parameters of B rows by name: [B], or [B, size] where one has several values.
RowParams = dict[str, jax.Array]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, slots=True)
class SlotState:
    """One row per slot, and one more for padding, which is never active. Donated through every step.

    Few arrays: each costs every program an argument, a gather and a scatter, which take time to compile.

    Attributes:
        progress: int32 [S, PROGRESS.num_words]; what making tokens changes, told by the properties.
        params: int32 [S, ROW_SIZE], as `pack_row` packs them.
        block_tables: int32 [G, S, P]; for each page group the pages of a sequence in order.
    """

    progress: jax.Array
    params: jax.Array
    block_tables: jax.Array

    @property
    def last_token(self) -> jax.Array:
        """int32 [S]; the newest token, whose key and value are not stored yet."""
        return self._column("last_token")

    @property
    def num_generated(self) -> jax.Array:
        """int32 [S]; new tokens so far."""
        return self._column("num_generated")

    @property
    def position(self) -> jax.Array:
        """int32 [S]; where `last_token` stands in its sequence."""
        return self._column("position")

    @property
    def is_active(self) -> jax.Array:
        """bool [S]; the row makes tokens when a step names it."""
        return self._column("is_active") != 0

    @property
    def recent(self) -> jax.Array:
        """int32 [S, NUM_RECENT]; the newest tokens that were made, oldest first, -1 for none. Kept by programs that
        have the whole sampler."""
        return self.progress[:, PROGRESS.slices["recent"]]

    def _column(self, name: str) -> jax.Array:
        return self.progress[:, PROGRESS.slices[name].start]

    def moved(
        self, *, last_token: jax.Array, num_generated: jax.Array, position: jax.Array, is_active: jax.Array,
        recent: jax.Array,
    ) -> SlotState:  # fmt: skip
        """The rows with other progress."""
        columns = [last_token, num_generated, position, is_active.astype(jnp.int32)]
        return replace(self, progress=jnp.concatenate([jnp.stack(columns, axis=1), recent], axis=1))


def empty_state(num_rows: int, pages_per_sequence: int, *, num_page_groups: int = 1) -> SlotState:
    """No slot active. `num_rows` counts the padding row."""
    return SlotState(
        progress=jnp.tile(jnp.asarray(NEW_PROGRESS), (num_rows, 1)),
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


def prompt_lengths(params: jax.Array) -> jax.Array:
    """int32 [B] of `params` [B, ROW_SIZE]."""
    return params[:, ROW_LAYOUT.slices["prompt_length"].start]


def take_rows(state: SlotState, slots: jax.Array) -> SlotState:
    """The rows of `slots`, int32 [B]."""
    return SlotState(state.progress[slots], state.params[slots], state.block_tables[:, slots])


def put_progress(state: SlotState, slots: jax.Array, rows: SlotState) -> SlotState:
    """`state` with what making tokens changes in the rows of `slots`. The padding row may be there many times: it is
    never active."""
    return replace(state, progress=state.progress.at[slots].set(rows.progress))


def put_start(state: SlotState, slot: jax.Array, position: jax.Array, is_active: jax.Array) -> SlotState:
    """`state` with a prompt whose last token stands at `position` in `slot`, [1] each."""
    start = jnp.stack([position, is_active.astype(jnp.int32)], axis=1)
    return replace(state, progress=state.progress.at[slot, _START].set(start))


def put_join(
    state: SlotState, slot: jax.Array, params: jax.Array, *, num_generated: jax.Array, recent: jax.Array
) -> SlotState:
    """`state` with another sequence in `slot`, [1], not active before its prompt is there, and the same block tables.

    Args:
        num_generated: int32 [1], tokens that it has made before; recent: int32 [NUM_RECENT], the newest of them.
    """
    start = jnp.zeros(PROGRESS.num_words, jnp.int32)
    start = start.at[PROGRESS.slices["num_generated"]].set(num_generated).at[PROGRESS.slices["recent"]].set(recent)
    return replace(state, progress=state.progress.at[slot].set(start), params=state.params.at[slot].set(params))


def change_tables(state: SlotState, entries: jax.Array, pages: jax.Array) -> SlotState:
    """`state` with other pages in its block tables.

    Args:
        entries: int32 [K], of the flattened tables (group, then slot, then place); those beyond them change nothing.
        pages: int32 [K].
    """
    flat = state.block_tables.reshape(-1).at[entries].set(pages, mode="drop")
    return replace(state, block_tables=flat.reshape(state.block_tables.shape))
