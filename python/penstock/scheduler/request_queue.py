"""The requests that wait for a slot: the one place where other threads meet the engine's.

Who is next is said in `fair_order`. Bounded in requests; a request with many choices counts once until its last one has
left. What the engine has a free slot for does not count: it waits only until the engine's thread looks. The last places
are kept for tenants of which nothing waits yet, so that one key cannot fill the queue.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from penstock.errors import ApiError
from penstock.generation import GenerationRequest
from penstock.scheduler.drain_rate import DrainRate
from penstock.scheduler.fair_order import FairOrder, Waiting
from penstock.scheduler.sequence import Generation, Sequence

#: One place in so many is kept for tenants of which nothing waits.
_KEPT_ONE_IN = 8


class RequestQueue:
    """Bounded, with its own lock. `submit`, `cancel` and `close` are for any thread, the rest for the engine's.

    Attributes:
        max_requests: how many may wait for a slot.
        num_free_slots: how many slots are free; asked from any thread. Set by who has slots.
        num_choices: that wait: of all requests those that have not begun, and the preempted.
        order: who is next. For the engine's thread.
    """

    def __init__(self, max_requests: int) -> None:
        self.max_requests = max_requests
        self.num_free_slots: Callable[[], int] = lambda: 0
        self.num_choices = 0
        self.is_closed = False
        self.order = FairOrder()
        self._num_submitted = 0
        self._waiting: dict[int, Generation] = {}  # by stream key
        self._preempted: dict[int, Sequence] = {}  # by row key
        self._cancelled: set[int] = set()
        self._drain_rate = DrainRate()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._is_awaited = False  # the engine's thread sleeps until something changes

    # ---- any thread

    def submit(self, request: GenerationRequest) -> None:
        """Appends a request. ApiError "server_overloaded" when full, with the time after which a retry is worth it;
        "engine_dead" after `close`."""
        with self._lock:
            self.check_has_room()
            self._check_has_room_for(request.tenant)
            assert request.stream_key not in self._waiting, "a stream key was submitted twice"
            if not self._waiting:
                self._drain_rate.restart(time.monotonic())
            generation = Generation(request, arrival=self._num_submitted)
            self._num_submitted += 1
            self._waiting[request.stream_key] = generation
            self.order.add(generation)
            self.num_choices += generation.num_choices
            self._wake()

    def check_has_room(self) -> None:
        """Raises what `submit` would, for a door that refuses before it reads a body. Needs no lock: others may come
        first anyway."""
        if self.is_closed:
            raise ApiError("engine_dead", "The engine has stopped.")
        num_waiting = len(self._waiting)
        if num_waiting >= self.max_requests + self.num_free_slots():
            raise self._overloaded(f"The server is busy: {num_waiting} requests are waiting already.", num_waiting)

    def _check_has_room_for(self, tenant: str) -> None:
        """The last places are for other tenants. Without keys there are none."""
        num_of_tenant = self.order.num_waiting(tenant) if tenant else 0
        num_kept = self.max_requests // _KEPT_ONE_IN
        if num_of_tenant and len(self._waiting) >= self.max_requests + self.num_free_slots() - num_kept:
            message = f"The server is busy: {num_of_tenant} requests of this API key are waiting already."
            raise self._overloaded(message, num_of_tenant)

    def _overloaded(self, message: str, num_requests: int) -> ApiError:
        retry_after_s = self._drain_rate.time_for(num_requests, time.monotonic())
        return ApiError("server_overloaded", message, retry_after_s=retry_after_s)

    def cancel(self, stream_key: int) -> None:
        """Drops what waits of a stream at once and tells the engine to end what runs of it."""
        with self._lock:
            generation = self._remove(stream_key)
            if generation is None or generation.num_begun > 0:
                self._cancelled.add(stream_key)
                self._wake()

    def close(self) -> None:
        """Takes no more work, and wakes the engine's thread."""
        with self._lock:
            self.is_closed = True
            self._wake()

    # ---- the engine's thread

    def wait(self) -> None:
        """Blocks until there is something to do."""
        with self._lock:
            while not (self.is_closed or self._waiting or self._cancelled):
                self._is_awaited = True
                self._changed.wait()

    def head(self, fits: Callable[[Waiting], bool] = lambda _: True) -> Waiting | None:
        """Whose turn it is: a generation, for `begin_choice`, or a preempted sequence, for `resume`. A generation may
        be cancelled before it is begun.

        Args:
            fits: whether there is room in the cache for the next choice of a generation, or for a sequence.
        """
        if not self.num_choices:  # read without the lock: a step without arrivals pays nothing
            return None
        with self._lock:
            heads = self.order.heads()
        passed: list[Waiting] = []  # what follows may take a while: whoever submits does not wait for it
        for head in heads:
            if fits(head):
                if passed:
                    with self._lock:
                        self.order.note_passed(passed)
                return head
            if not self.order.may_be_passed(head):
                return None
            passed.append(head)
        return None

    def begin_choice(self, generation: Generation) -> int | None:
        """The next choice of a generation leaves the queue: its index, or None if it was cancelled meanwhile."""
        with self._lock:
            if self._waiting.get(generation.stream_key) is not generation:
                return None
            index = generation.num_begun
            generation.num_begun += 1
            self.num_choices -= 1
            self.order.take_turn(generation.tenant)
            if generation.num_waiting == 0:
                self._remove(generation.stream_key)
            return index

    def put_back(self, sequence: Sequence) -> None:
        """A sequence lost its slot: it stands in front of all of its tenant and priority that has not begun."""
        with self._lock:
            self._preempted[sequence.row_key] = sequence
            self.order.add(sequence)
            self.num_choices += 1

    def resume(self, sequence: Sequence) -> None:
        """A preempted sequence leaves the queue for a slot."""
        with self._lock:
            self.order.take_turn(sequence.tenant)
            self._discard_preempted(sequence)

    def take_cancelled(self) -> set[int]:
        """Stream keys cancelled since the last call, of which something may run."""
        if not self._cancelled:
            return set()
        with self._lock:
            cancelled, self._cancelled = self._cancelled, set()
            return cancelled

    def drop(self, stream_key: int) -> None:
        """What waits of a failed stream never begins, and what was preempted of it never goes on."""
        with self._lock:
            self._remove(stream_key)
            for sequence in [each for each in self._preempted.values() if each.stream_key == stream_key]:
                self._discard_preempted(sequence)

    def count_end(self) -> None:
        """A request that had begun has ended: a place is free for the next."""
        with self._lock:
            if self._waiting:
                self._drain_rate.count_end(time.monotonic())

    def drop_all(self) -> list[Generation]:
        """Empties the queue: the generations that waited."""
        with self._lock:
            dropped = list(self._waiting.values())
            self._waiting.clear()
            self._preempted.clear()
            self.order.clear()
            self.num_choices = 0
            return dropped

    def check_integrity(self, row_keys: set[int]) -> None:
        """Asserts that exactly `row_keys` wait to go on."""
        assert self._preempted.keys() == row_keys, "a sequence without a slot that nobody puts back"

    def _wake(self) -> None:
        """Under the lock."""
        if self._is_awaited:
            self._is_awaited = False
            self._changed.notify()

    def _remove(self, stream_key: int) -> Generation | None:
        generation = self._waiting.pop(stream_key, None)
        if generation is not None:
            self.order.discard(generation)
            self.num_choices -= generation.num_waiting
        return generation

    def _discard_preempted(self, sequence: Sequence) -> None:
        if self._preempted.pop(sequence.row_key, None) is not None:
            self.order.discard(sequence)
            self.num_choices -= 1
