"""What the device remembers of every slot between steps, and the packed int32 arrays that change it.

One small array goes down per dispatch (eight of them cost six times as much); floats travel as their bits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np

from penstock.engine.interface import PrefillSlice
from penstock.generation import MAX_STOP_IDS

#: Fields of a packed prefill slice, before the stop ids, the block table and the tokens.
_NUM_SCALARS = 11


@jax.tree_util.register_dataclass
@dataclass(frozen=True, slots=True)
class SlotState:
    """One row per slot, and one more for padding, which is never active. Donated through every step.

    Attributes:
        last_token: int32 [S]; the newest token, whose key and value are not stored yet.
        position: int32 [S]; where `last_token` stands in its sequence.
        is_active: bool [S].
        remaining: int32 [S]; tokens that may still be generated.
        key: uint32 [S, 2]; source of the slot's randomness.
        temperature, top_p, min_p: float32 [S]; top_k: int32 [S].
        stop_ids: int32 [S, MAX_STOP_IDS], filled up with -1.
        block_table: int32 [S, P].
    """

    last_token: jax.Array
    position: jax.Array
    is_active: jax.Array
    remaining: jax.Array
    key: jax.Array
    temperature: jax.Array
    top_k: jax.Array
    top_p: jax.Array
    min_p: jax.Array
    stop_ids: jax.Array
    block_table: jax.Array


def empty_state(num_rows: int, pages_per_sequence: int) -> SlotState:
    """No slot active. `num_rows` counts the padding row."""
    zeros = jnp.zeros(num_rows, jnp.int32)
    ones = jnp.ones(num_rows, jnp.float32)
    return SlotState(
        last_token=zeros,
        position=zeros,
        is_active=jnp.zeros(num_rows, bool),
        remaining=zeros,
        key=jnp.zeros((num_rows, 2), jnp.uint32),
        temperature=ones,
        top_k=zeros,
        top_p=ones,
        min_p=ones * 0,
        stop_ids=jnp.full((num_rows, MAX_STOP_IDS), -1, jnp.int32),
        block_table=jnp.zeros((num_rows, pages_per_sequence), jnp.int32),
    )


@jax.tree_util.register_dataclass
@dataclass(frozen=True, slots=True)
class SliceInput:
    """A prefill slice as the program sees it.

    Attributes:
        tokens: int32 [T], padded; num_tokens: int32, how many of them are real; start: int32.
        slot: int32; is_last: bool.
        row: a `SlotState` of one row with the sequence's parameters; its token and position are not set.
    """

    tokens: jax.Array
    num_tokens: jax.Array
    start: jax.Array
    slot: jax.Array
    is_last: jax.Array
    row: SlotState


def packed_size(num_tokens: int, pages_per_sequence: int) -> int:
    """Length of a packed slice."""
    return _NUM_SCALARS + MAX_STOP_IDS + pages_per_sequence + num_tokens


def pack_slice(piece: PrefillSlice, num_tokens: int, pages_per_sequence: int) -> np.ndarray:
    """A slice as one int32 array, its tokens padded to `num_tokens`."""
    packed = np.zeros(packed_size(num_tokens, pages_per_sequence), np.int32)
    packed[:5] = piece.slot, len(piece.tokens), piece.start, piece.is_last, piece.max_new_tokens
    packed[5:7].view(np.uint32)[:] = piece.key
    packed[7] = piece.top_k
    packed[8:11].view(np.float32)[:] = piece.temperature, piece.top_p, piece.min_p
    stops, pages, tokens = np.split(packed[_NUM_SCALARS:], [MAX_STOP_IDS, MAX_STOP_IDS + pages_per_sequence])
    stops[:] = -1
    stops[: len(piece.stop_ids)] = piece.stop_ids
    pages[: len(piece.pages)] = piece.pages
    tokens[: len(piece.tokens)] = piece.tokens
    return packed


def unpack_slice(packed: jax.Array, pages_per_sequence: int) -> SliceInput:
    """The device's half of `pack_slice`."""
    floats = jax.lax.bitcast_convert_type(packed[8:11], jnp.float32)
    stops, pages, tokens = jnp.split(packed[_NUM_SCALARS:], [MAX_STOP_IDS, MAX_STOP_IDS + pages_per_sequence])
    row = SlotState(
        last_token=packed[:1],
        position=packed[:1],
        is_active=jnp.ones(1, bool),
        remaining=packed[4:5],
        key=jax.lax.bitcast_convert_type(packed[5:7], jnp.uint32)[None],
        temperature=floats[0:1],
        top_k=packed[7:8],
        top_p=floats[1:2],
        min_p=floats[2:3],
        stop_ids=stops[None],
        block_table=pages[None],
    )
    return SliceInput(tokens, packed[1], packed[2], packed[0], packed[3] != 0, row)


def take_rows(state: SlotState, slots: jax.Array) -> SlotState:
    """The rows of `slots`, int32 [B]."""
    rows: SlotState = jax.tree.map(lambda field: field[slots], state)
    return rows


def put_progress(state: SlotState, slots: jax.Array, rows: SlotState) -> SlotState:
    """`state` with what decoding changes in the rows of `slots`. The padding row may be there many times: it is never
    active."""
    return replace(
        state,
        last_token=state.last_token.at[slots].set(rows.last_token),
        position=state.position.at[slots].set(rows.position),
        is_active=state.is_active.at[slots].set(rows.is_active),
        remaining=state.remaining.at[slots].set(rows.remaining),
    )


def put_rows(state: SlotState, slots: jax.Array, rows: SlotState) -> SlotState:
    """`state` with the rows of `slots` replaced."""
    new: SlotState = jax.tree.map(lambda field, row: field.at[slots].set(row), state, rows)
    return new
