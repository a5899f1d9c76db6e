"""EchoRunner: a device that computes nothing and knows what to say. It stands in wherever a runner is needed.

Every sequence gets the same tokens in turn until its limit, as fast as it can, or one each interval.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from penstock.engine.interface import END_LENGTH, END_STOP, Capacity, Join, StepOutput, StepPlan, Yields
from penstock.engine.row_parameters import ROW_LAYOUT

_TOKEN = Yields.TOKEN
_MAX_TOKENS = ROW_LAYOUT.slices["max_tokens"].start

#: From row keys, uint64 [B], how many of them are wanted and how many seconds they may be waited for, to which of them
#: may have a token, bool [B].
RowsWithRoom = Callable[[np.ndarray, int, float], np.ndarray]

#: How long half of the rows are waited for: a step for few costs as much as one for all. Where none has room even then,
#: one is waited for, and at last the step comes back empty, so that whoever joins or is cancelled need not wait for a
#: reader.
_WAIT_FOR_HALF_S = 0.001
_WAIT_FOR_ONE_S = 0.006


def echo_capacity(
    *, num_slots: int = 1024, max_model_len: int = 32768, pipeline_depth: int = 1, tokens_per_dispatch: int = 1
) -> Capacity:
    """Of a runner that stores nothing and to which a prompt costs nothing: a page holds a whole sequence."""
    return Capacity(
        num_slots=num_slots,
        num_pages=(num_slots,),
        page_size=max_model_len,
        max_model_len=max_model_len,
        max_prefill_tokens=max_model_len,
        tokens_per_dispatch=tokens_per_dispatch,
        pipeline_depth=pipeline_depth,
        max_spans=num_slots,
    )


class EchoRunner:
    """A `Runner` with a fixed text.

    Args:
        tokens: int32 [P]: what every sequence gets, over and over.
        is_said_once: the last of them ends the sequence, as a stop token does.
        interval_s: between two tokens of a sequence; 0: none.
        rows_with_room: asked before tokens are given, unpaced; rows without room get none. None: all have room.

    Under a mask a row gets its next token where that is allowed, else the allowed one with the lowest id.
    """

    def __init__(
        self, capacity: Capacity, tokens: np.ndarray, *, is_said_once: bool = False,
        interval_s: float = 0.0, rows_with_room: RowsWithRoom | None = None,
    ) -> None:  # fmt: skip
        self.capacity = capacity
        self._rows_with_room = rows_with_room
        self._tokens = tokens
        self._num_at_most = len(tokens) if is_said_once else np.iinfo(np.int32).max
        self._interval_s = interval_s
        self._due = 0.0  # when the next paced step is
        self.reset()

    def reset(self) -> None:
        self._num_made = np.zeros(self.capacity.num_slots, np.int32)
        self._limits = np.zeros(self.capacity.num_slots, np.int32)

    def dispatch(self, plan: StepPlan) -> EchoStep:
        if any(span.yields > _TOKEN for span in plan.spans):
            raise NotImplementedError("The echo engine gives tokens only.")
        return EchoStep(self, plan)

    def join(self, joins: Sequence[Join]) -> None:
        for join in joins:
            self._num_made[join.slot] = len(join.made)
            self._limits[join.slot] = min(join.params.item(_MAX_TOKENS), self._num_at_most)

    def next_tokens(
        self,
        slots: np.ndarray,
        may_have: np.ndarray | bool,
        num_tokens: int = 1,
        *,
        masks: np.ndarray | None = None,
    ) -> StepOutput:
        """The next tokens of each row that may have some, up to its limit."""
        made, limits = self._num_made.take(slots), self._limits.take(slots)
        gets = np.minimum(limits - made, num_tokens) * may_have  # int32 [B]: how many
        columns = np.arange(num_tokens, dtype=np.int32)
        ids = self._tokens.take(made[:, None] + columns, mode="wrap")
        if masks is not None:
            ids = allowed(ids, masks)
        if gets.min(initial=num_tokens) < num_tokens:
            ids[columns >= gets[:, None]] = -1
        made += gets
        self._num_made.put(slots, made)
        ends = np.zeros(len(slots), np.uint8)
        is_over = made >= limits
        if is_over.any():
            is_told = is_over & ((gets > 0) | (limits == 0))
            is_whole = made[is_told] >= self._num_at_most if masks is None else False  # under a mask it is not the text
            ends[is_told] = np.where(is_whole, END_STOP, END_LENGTH)
        return StepOutput(ids, ends)

    def wait_for_rows(self, row_keys: np.ndarray, *, is_joined: bool) -> np.ndarray | bool:
        """Which rows may have a token now. Waits for the next step's time, or for room, unless others join."""
        if self._interval_s:
            return self._is_due(has_rows=len(row_keys) > 0, may_wait=not is_joined)
        return self._wait_for_room(row_keys, may_wait=not is_joined)

    def _is_due(self, *, has_rows: bool, may_wait: bool) -> bool:
        """On an absolute schedule, so that no drift adds up."""
        now = time.monotonic()
        if not has_rows:  # the first tokens of a new spell: their second ones are an interval later
            if now >= self._due:
                self._due = now + self._interval_s
            return False
        if now < self._due:
            if not may_wait:
                return False
            time.sleep(self._due - now)
        # Far behind (a stopped process), the lost steps are not made up for.
        self._due = max(self._due, now - self._interval_s) + self._interval_s
        return True

    def _wait_for_room(self, row_keys: np.ndarray, *, may_wait: bool) -> np.ndarray | bool:
        if self._rows_with_room is None or not len(row_keys):
            return True
        if not may_wait:
            return self._rows_with_room(row_keys, 0, 0.0)
        has_room = self._rows_with_room(row_keys, (len(row_keys) + 1) // 2, _WAIT_FOR_HALF_S)
        return has_room if has_room.any() else self._rows_with_room(row_keys, 1, _WAIT_FOR_ONE_S)


@dataclass(frozen=True, slots=True)
class EchoStep:
    """A step that is done when it is fetched, in the order of dispatch as on a device."""

    runner: EchoRunner
    plan: StepPlan

    def fetch(self) -> StepOutput:
        runner, plan = self.runner, self.plan
        slots, masks = plan.decode_slots, plan.masks
        if not plan.spans:
            may_have = runner.wait_for_rows(plan.row_keys, is_joined=False)
            return runner.next_tokens(slots, may_have, plan.tokens_per_dispatch, masks=masks)
        runner.join(plan.joins)
        new_slots = [span.slot for span in plan.spans if span.yields == _TOKEN]
        num_new = len(new_slots)
        of_new, of_rest = (None, None) if masks is None else (masks[:num_new], masks[num_new:])
        first = runner.next_tokens(np.array(new_slots, np.int32), True, masks=of_new)
        may_have = runner.wait_for_rows(plan.row_keys[num_new:], is_joined=True)
        if not len(slots):
            return first
        rest = runner.next_tokens(slots, may_have, masks=of_rest)
        return StepOutput(np.concatenate([first.ids, rest.ids]), np.concatenate([first.ends, rest.ends]))


def allowed(ids: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """`ids`, int32 [B, 1], where `masks`, uint32 [B, W], allow them, else the lowest allowed one, -1 for none."""
    words = np.take_along_axis(masks, ids // 32, axis=1)
    is_allowed = words >> (ids % 32).astype(np.uint32) & 1
    first_word = np.argmax(masks != 0, axis=1)[:, None]
    lowest = np.take_along_axis(masks, first_word, axis=1)
    first_bit = np.log2((lowest & -lowest.astype(np.int64)).clip(1)).astype(np.int32)
    instead = np.where(lowest == 0, -1, first_word * 32 + first_bit)
    return np.where(is_allowed, ids, instead).astype(np.int32)
