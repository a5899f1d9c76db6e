"""Steps: admit, run, deliver. They drive a runner (the device) and a hub (the ways out), one call each per step.

In flight means dispatched and not yet fetched. At depth 1 a step is fetched as soon as it is dispatched; at depth 2 the
next one is dispatched while the last one's ids are still on their way, so ends are learnt one step late. A row that
ended in between comes back empty, because the device masked it or the hub no longer knows it.

Constrained rows are dispatched before the others of a step and fetched at once, so that their masks are computed while
the device works for the others; these keep their depth.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Any, NamedTuple, Protocol

import numpy as np

from penstock.engine.interface import (
    END_ERROR,
    END_NONE,
    END_STOP,
    InFlightStep,
    PooledColumns,
    Runner,
    StepOutput,
    StepPlan,
    Yields,
)
from penstock.generation import GenerationRequest
from penstock.scheduler.plan_writer import PlannedStep
from penstock.scheduler.planner import Planner
from penstock.scheduler.prefix_cache import PrefixCache
from penstock.scheduler.request_queue import RequestQueue

log = logging.getLogger("penstock.scheduler")

MAX_FAILURES_IN_A_ROW = 3
"""Failed steps, with no sequence brought to its end between them, after which the engine is given up. A good step is
no sign of health by itself: where decode is broken, every request still gets through its prefill."""


class Dispatched(NamedTuple):
    """A plan on its way.

    Attributes:
        row_keys: uint64 [R].
        first_slots: int32 [F], of the rows whose prompts end in it; decode_slots: int32 [R - F], of the others.
        is_constrained: its rows wait for its tokens, as their next masks depend on them.
    """

    row_keys: np.ndarray
    first_slots: np.ndarray
    decode_slots: np.ndarray
    in_flight: InFlightStep
    is_constrained: bool


class StepHub(Protocol):
    """The hub as the scheduler sees it (`_core.Hub`). Any: of a buffer, which numpy's types do not say on 3.11."""

    def mark_scheduled(
        self, row_key: int, *, num_cached_tokens: int = 0, num_queried_tokens: int = 0, cache_exit: str | None = None
    ) -> None: ...
    def count_preemption(self) -> None: ...
    def push_step(
        self,
        keys: Any,
        output: Any,
        *,
        num_running: int,
        num_waiting: int,
        num_pages_in_use: int,
    ) -> list[int]: ...
    def fail(self, stream_key: int, kind: str, message: str, *, param: str | None = None) -> bool: ...


class Scheduler:
    """Turns submitted requests into tokens in the hub, one `step` at a time.

    `submit` and `cancel` are for any thread; everything else is for the one thread that steps.

    Args:
        stop_ids: the model's own stop tokens.
        max_queued_requests: requests that may wait for a slot.
        num_grammar_threads: that compute the masks of constrained rows.
        prefix_caching: whether the pages of prompts and answers are kept for others that begin alike.
    """

    def __init__(
        self, runner: Runner, hub: StepHub, *,
        stop_ids: tuple[int, ...] = (), max_queued_requests: int = 512, num_grammar_threads: int = 2,
        prefix_caching: bool = True,
    ) -> None:  # fmt: skip
        self.queue = RequestQueue(max_queued_requests)
        self._runner = runner
        self._hub = hub
        self._planner = Planner(
            runner.capacity, self.queue,
            stop_ids=stop_ids, num_grammar_threads=num_grammar_threads, prefix_caching=prefix_caching,
        )  # fmt: skip
        self._in_flight: deque[Dispatched] = deque()
        self._num_counted = 0  # of the preemptions
        self._num_failures = 0
        self._has_run = False  # the last step dispatched something to fetch
        self._num_pressing = 0  # of those in flight, the constrained that it dispatched and all that is older
        self._shown_gauges = (0, 0, 0)  # what the hub was told last

    # ---- any thread

    def submit(self, request: GenerationRequest) -> None:
        """Queues a request.

        Raises:
            ApiError: "server_overloaded" when the queue is full, "engine_dead" when it is closed; or what the door let
                pass and the device has no room for.
        """
        self._planner.check_fits(request)
        for prompt in request.prompts:
            self.cache.names_of(prompt, request.cache_salt)  # here, so that the engine's thread need not
        self.queue.submit(request)

    def cancel(self, stream_key: int) -> None:
        """Ends every sequence of a stream in the next step, wherever it is. Idempotent; unknown keys are ignored."""
        self.queue.cancel(stream_key)

    @property
    def gauges(self) -> tuple[int, int, int]:
        """Sequences in slots, those without one, pages in use."""
        planner = self._planner
        return planner.num_running, self.queue.num_choices, planner.seats.tables.num_in_use

    @property
    def cache(self) -> PrefixCache:
        """Of the prompts' pages. From other threads, only what it says."""
        return self._planner.seats.cache

    @property
    def num_preemptions(self) -> int:
        """How often a sequence has lost its slot, to go on later."""
        return self._planner.num_preemptions

    # ---- the engine's thread

    @property
    def is_idle(self) -> bool:
        """Nothing to do until somebody submits."""
        return not self._in_flight and self._shown_gauges == (0, 0, 0) == self.gauges

    def step(self) -> bool:
        """One step. True if the hub may have frames to send. A failed step fails the sequences in slots and the next
        one goes on with the queue; raises when failures repeat and going on is pointless."""
        try:
            self._admit()
            has_ended = self._run()
            return self._deliver() or has_ended
        except Exception as error:
            self._recover(error)
            return True

    def _admit(self) -> None:
        for stream_key in self.queue.take_cancelled():
            self._planner.end_stream(stream_key)
        self._planner.admit()

    def _run(self) -> bool:
        """Plans this step and dispatches it. True if the hub was given something meanwhile."""
        has_rows = False
        step = self._planner.plan(may_wait=not self._in_flight, may_put_off=not self._in_flight)
        if step is None:  # pages have run out: the tokens under way count, and who ends by them leaves some
            has_rows = self._deliver_all()
            step = self._planner.plan(may_wait=True)
            assert step is not None, "somebody can always give way"
        for row_key, num_cached, num_queried, cache_exit in step.newcomers:
            self._hub.mark_scheduled(
                row_key, num_cached_tokens=num_cached, num_queried_tokens=num_queried, cache_exit=cache_exit
            )
        self._count_preemptions()
        self._has_run, self._num_pressing = False, 0
        if step.constrained_plan is not None:
            self._dispatch(step.constrained_plan, is_constrained=True)
            self._num_pressing = len(self._in_flight)
        if not step.plan.is_empty:
            self._dispatch(step.plan, is_constrained=False)
        return self._end_constrained(step) or has_rows

    def _count_preemptions(self) -> None:
        while self._num_counted < self._planner.num_preemptions:
            self._num_counted += 1
            self._hub.count_preemption()

    def _dispatch(self, plan: StepPlan, *, is_constrained: bool) -> None:
        self._has_run = True
        first_slots = _NO_SLOTS
        if plan.spans:
            first_slots = np.array([span.slot for span in plan.spans if int(span.yields) & _TOKEN], np.int32)
        in_flight = self._runner.dispatch(plan)
        self._in_flight.append(Dispatched(plan.row_keys, first_slots, plan.decode_slots, in_flight, is_constrained))

    def _deliver_all(self) -> bool:
        """Waits for all that is under way."""
        has_rows = False
        while self._in_flight:
            has_rows |= self._deliver_one(self._in_flight.popleft())
        return has_rows

    def _deliver(self) -> bool:
        """Hands the oldest steps' tokens to the hub, unless the pipeline has room for another dispatch first."""
        has_rows, num_due = False, self._num_due()
        for _ in range(num_due):
            has_rows |= self._deliver_one(self._in_flight.popleft())
        if not num_due and self.gauges != self._shown_gauges:
            self._push(_NO_KEYS, _NO_ROWS)
        return has_rows

    def _num_due(self) -> int:
        """How many of those in flight are fetched before the next dispatch: the constrained and what is older, and as
        many as the pipeline's depth asks for; one where nothing was dispatched."""
        num_in_flight = len(self._in_flight)
        if not self._has_run:
            return min(num_in_flight, 1)
        return max(self._num_pressing, num_in_flight - self._runner.capacity.pipeline_depth + 1)

    def _deliver_one(self, dispatched: Dispatched) -> bool:
        row_keys, output = dispatched.row_keys, dispatched.in_flight.fetch()
        num_first = len(dispatched.first_slots)
        if num_first:
            self._planner.seats.take_made(dispatched.first_slots, row_keys[:num_first], output.ids[:num_first])
        self._planner.seats.take_made(dispatched.decode_slots, row_keys[num_first:], output.ids[num_first:])
        if dispatched.is_constrained:
            self._planner.constraints.advance(row_keys, output)
            self._fail_stuck(row_keys, output)
        self._end(row_keys, output.ends)
        pooled_keys = self._end_pooled(output.pooled) if output.pooled else []
        if len(row_keys) or not pooled_keys:
            self._push(row_keys, output)
        return len(row_keys) + len(pooled_keys) > 0

    def _end_pooled(self, pooled: tuple[PooledColumns, ...]) -> list[int]:
        """Ends the rows whose prompts are whole: without a token, as what was wanted is theirs already."""
        ends = {columns.row_key: self._planner.take_pooled(columns) for columns in pooled}
        ended = {row_key: end for row_key, end in ends.items() if end is not None}
        if ended:
            row_keys, row_ends = np.array(list(ended), np.uint64), np.array(list(ended.values()), np.uint8)
            self._end(row_keys, row_ends)
            self._push(row_keys, StepOutput(np.full((len(ended), 1), -1, np.int32), row_ends))
        return list(ended)

    def _fail_stuck(self, row_keys: np.ndarray, output: StepOutput) -> None:
        """A row that stopped without a token had none left: its text is no whole one, and must not pass for it."""
        is_stuck = (output.ends == END_STOP) & (output.ids[:, 0] < 0)
        for row_key in row_keys[is_stuck].tolist():
            self._fail_constrained(row_key, "the request's other fields forbid every token that it allows")

    def _end_constrained(self, step: PlannedStep) -> bool:
        """Ends rows whose text is whole, and the streams of rows that their grammar lets neither go on nor end."""
        if not step.complete and not step.failed:
            return False
        if step.complete:
            self._num_failures = 0
            row_keys = np.array(step.complete, np.uint64)
            self._planner.end_rows(step.complete)
            self._push(row_keys, StepOutput(*_no_tokens(len(row_keys), END_STOP)))
        for row_key, reason in step.failed:
            self._fail_constrained(row_key, reason)
        return True

    def _fail_constrained(self, row_key: int, reason: str) -> None:
        """Ends the stream of a row that its grammar lets neither go on nor end."""
        request = self._planner.request_of(row_key)
        if request is None or request.grammar is None:
            return
        log.warning("row %d: its grammar stopped it: %s", row_key, reason)
        self._planner.end_stream(request.stream_key)
        message = f"The output could not go on under its grammar: {reason}."
        self._hub.fail(request.stream_key, "invalid_value", message, param=request.grammar.param)

    def _end(self, row_keys: np.ndarray, ends: np.ndarray) -> None:
        """Frees what ended on the device. A row that went wrong takes its stream with it, and no other: the hub fails
        it when it is told."""
        ended = row_keys[ends != END_NONE].tolist()
        if not ended:
            return
        broken = row_keys[ends == END_ERROR].tolist()
        for row_key in broken:
            log.error("row %d: the model's output is not a number; its request gets an error", row_key)
            self._planner.end_stream_of(row_key)
        if len(broken) < len(ended):
            self._num_failures = 0
        self._planner.end_rows(ended)

    def _push(self, row_keys: np.ndarray, output: StepOutput) -> None:
        self._shown_gauges = num_running, num_waiting, num_pages = self.gauges
        ended_by_text = self._hub.push_step(
            row_keys, output, num_running=num_running, num_waiting=num_waiting, num_pages_in_use=num_pages
        )
        self._planner.end_rows(ended_by_text)

    # ---- when things go wrong

    def _recover(self, error: Exception) -> None:
        """Fails what was in slots and starts afresh: the device's cache and state are gone with the step."""
        self._num_failures += 1
        log.exception("a step failed, %d in a row; its requests get an error", self._num_failures)
        self._in_flight.clear()
        for stream_key in self._planner.end_all():
            self._hub.fail(stream_key, "engine_error", "The engine failed while it worked on this request.")
        if self._num_failures >= MAX_FAILURES_IN_A_ROW or isinstance(error, FloatingPointError):
            raise error  # not a number, or no luck thrice: the weights or the device are broken
        self._runner.reset()

    def close(self, kind: str, message: str) -> None:
        """Takes no more work and fails everything that runs or waits, by a row of the error table."""
        self.queue.close()
        self._in_flight.clear()
        stream_keys = self._planner.end_all()
        stream_keys += [generation.stream_key for generation in self.queue.drop_all()]
        for stream_key in stream_keys:
            self._hub.fail(stream_key, kind, message)
        self._push(_NO_KEYS, _NO_ROWS)

    def check_integrity(self) -> None:
        """Asserts that slots, pages and sequences agree; for tests, between steps."""
        self._planner.check_integrity()


def _no_tokens(num_rows: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids and ends of rows that end without a token."""
    return np.full((num_rows, 1), -1, np.int32), np.full(num_rows, end, np.uint8)


_TOKEN = int(Yields.TOKEN)  # the operators of a flag take as long as all else that is done for a span
_NO_KEYS = np.empty(0, np.uint64)
_NO_SLOTS = np.empty(0, np.int32)
_NO_ROWS = StepOutput(np.empty((0, 1), np.int32), np.empty(0, np.uint8))
