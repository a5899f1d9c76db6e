"""The requests that wait for a slot: the one place where other threads meet the engine's.

First come, first served. Bounded in requests; a request with many choices counts once until its last one has left.
What the engine has a free slot for does not count: it waits only until the engine's thread looks.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from penstock.errors import ApiError
from penstock.generation import GenerationRequest
from penstock.scheduler.drain_rate import DrainRate
from penstock.scheduler.sequence import Generation


class RequestQueue:
    """Bounded, with its own lock. `submit`, `cancel` and `close` are for any thread, the rest for the engine's.

    Attributes:
        max_requests: how many may wait for a slot.
        num_free_slots: how many slots are free; asked from any thread. Set by who has slots.
    """

    def __init__(self, max_requests: int) -> None:
        self.max_requests = max_requests
        self.num_free_slots: Callable[[], int] = lambda: 0
        self.num_choices = 0  # choices of all waiting requests that have not begun
        self.is_closed = False
        self._waiting: OrderedDict[int, Generation] = OrderedDict()  # by stream key
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
            assert request.stream_key not in self._waiting, "a stream key was submitted twice"
            if not self._waiting:
                self._drain_rate.restart(time.monotonic())
            self._waiting[request.stream_key] = Generation(request)
            self.num_choices += request.num_choices
            self._wake()

    def check_has_room(self) -> None:
        """Raises what `submit` would, for a door that refuses before it reads a body. Needs no lock: others may come
        first anyway."""
        if self.is_closed:
            raise ApiError("engine_dead", "The engine has stopped.")
        num_waiting = len(self._waiting)
        if num_waiting >= self.max_requests + self.num_free_slots():
            raise ApiError(
                "server_overloaded",
                f"The server is busy: {num_waiting} requests are waiting already.",
                retry_after_s=self._drain_rate.time_for(num_waiting, time.monotonic()),
            )

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

    def head(self) -> Generation | None:
        """The request that has waited longest. It may be cancelled before it is begun."""
        if not self._waiting:  # read without the lock: a step without arrivals pays nothing
            return None
        with self._lock:
            return next(iter(self._waiting.values()), None)

    def begin_choice(self, generation: Generation) -> int | None:
        """The next choice of the head leaves the queue: its index, or None if the request was cancelled meanwhile."""
        with self._lock:
            if self._waiting.get(generation.stream_key) is not generation:
                return None
            index = generation.num_begun
            generation.num_begun += 1
            self.num_choices -= 1
            if generation.num_waiting == 0:
                self._remove(generation.stream_key)
            return index

    def take_cancelled(self) -> set[int]:
        """Stream keys cancelled since the last call, of which something may run."""
        if not self._cancelled:
            return set()
        with self._lock:
            cancelled, self._cancelled = self._cancelled, set()
            return cancelled

    def drop(self, stream_key: int) -> None:
        """What waits of a failed stream never begins."""
        with self._lock:
            self._remove(stream_key)

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
            self.num_choices = 0
            return dropped

    def _wake(self) -> None:
        """Under the lock."""
        if self._is_awaited:
            self._is_awaited = False
            self._changed.notify()

    def _remove(self, stream_key: int) -> Generation | None:
        generation = self._waiting.pop(stream_key, None)
        if generation is not None:
            self.num_choices -= generation.num_waiting
        return generation
