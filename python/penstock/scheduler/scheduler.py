"""Steps: admit, run, deliver. They drive a runner (the device) and a hub (the ways out), one call each per step.

In flight means dispatched and not yet fetched. At depth 1 a step is fetched as soon as it is dispatched; at depth 2 the
next one is dispatched while the last one's ids are still on their way, so ends are learnt one step late. A row that
ended in between comes back empty, because the device masked it or the hub no longer knows it.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Any, Protocol

import numpy as np

from penstock.engine.interface import END_ERROR, END_NONE, InFlightStep, Runner, StepOutput
from penstock.generation import GenerationRequest
from penstock.scheduler.planner import Planner
from penstock.scheduler.request_queue import RequestQueue

log = logging.getLogger("penstock.scheduler")

MAX_FAILURES_IN_A_ROW = 3
"""Failed steps, with no sequence brought to its end between them, after which the engine is given up. A good step is
no sign of health by itself: where decode is broken, every request still gets through its prefill."""


class StepHub(Protocol):
    """The hub as the scheduler sees it (`_core.Hub`). Any: of a buffer, which numpy's types do not say on 3.11."""

    def mark_scheduled(self, row_key: int) -> None: ...
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
    """

    def __init__(
        self, runner: Runner, hub: StepHub, *, stop_ids: tuple[int, ...] = (), max_queued_requests: int = 512
    ) -> None:
        self.queue = RequestQueue(max_queued_requests)
        self._runner = runner
        self._hub = hub
        self._planner = Planner(runner.capacity, self.queue, stop_ids=stop_ids)
        self._in_flight: deque[tuple[np.ndarray, InFlightStep]] = deque()  # row keys, uint64 [R], and what they get
        self._num_failures = 0
        self._has_run = False  # the last step dispatched something to fetch
        self._shown_gauges = (0, 0, 0)  # what the hub was told last

    # ---- any thread

    def submit(self, request: GenerationRequest) -> None:
        """Queues a request.

        Raises:
            ApiError: "server_overloaded" when the queue is full, "engine_dead" when it is closed; or what the door let
                pass and the device has no room for.
        """
        self._planner.check_fits(request)
        self.queue.submit(request)

    def cancel(self, stream_key: int) -> None:
        """Ends every sequence of a stream in the next step, wherever it is. Idempotent; unknown keys are ignored."""
        self.queue.cancel(stream_key)

    @property
    def gauges(self) -> tuple[int, int, int]:
        """Sequences in slots, choices in the queue, pages in use."""
        return self._planner.num_running, self.queue.num_choices, self._planner.pages.num_in_use

    # ---- the engine's thread

    @property
    def is_idle(self) -> bool:
        """Nothing to do until somebody submits."""
        return not self._in_flight and self.gauges == self._shown_gauges == (0, 0, 0)

    def step(self) -> bool:
        """One step. True if the hub may have frames to send. A failed step fails the sequences in slots and the next
        one goes on with the queue; raises when failures repeat and going on is pointless."""
        try:
            self._admit()
            self._run()
            return self._deliver()
        except Exception as error:
            self._recover(error)
            return True

    def _admit(self) -> None:
        for stream_key in self.queue.take_cancelled():
            self._planner.end_stream(stream_key)
        self._planner.admit()

    def _run(self) -> None:
        """Plans this step and dispatches it."""
        step = self._planner.plan()
        for row_key in step.new_row_keys:
            self._hub.mark_scheduled(row_key)
        self._has_run = not step.plan.is_empty
        if self._has_run:
            self._in_flight.append((step.plan.row_keys, self._runner.dispatch(step.plan)))

    def _deliver(self) -> bool:
        """Hands the oldest step's tokens to the hub, unless the pipeline has room for another dispatch first."""
        if self._in_flight and (len(self._in_flight) >= self._runner.capacity.pipeline_depth or not self._has_run):
            row_keys, in_flight = self._in_flight.popleft()
            output = in_flight.fetch()
            self._end(row_keys, output.ends)
            self._push(row_keys, output)
            return len(row_keys) > 0
        if self.gauges != self._shown_gauges:
            self._push(_NO_KEYS, _NO_ROWS)
        return False

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


_NO_KEYS = np.empty(0, np.uint64)
_NO_ROWS = StepOutput(np.empty((0, 1), np.int32), np.empty(0, np.uint8))
