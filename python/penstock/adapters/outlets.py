"""The loop's side of a hub: once per engine step, hands each stream that has frames its bytes.

Knows stream keys and frames; nothing of HTTP, and nothing of what the frames say.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from penstock._core import Hub, Receipt

Taken = tuple[bytes, int, Receipt | None]

#: How long frames may wait behind requests that come in a burst, each of which takes the loop for some 0.3 ms.
_LATE_S = 0.005

#: What `Hub.take` says of a stream that is gone.
GONE: Taken = (b"", 499, None)
_NOBODY: tuple[None, Any] = (None, None)

#: Frames, status and receipt, as `Hub.take` gives them; true while it takes more.
Sink = Callable[[bytes, int, Receipt | None], bool]


class Outlets:
    """Hands the frames of a hub to whoever sends them. One per hub, on one event loop.

    A stream is followed from its opening until it is closed. Meanwhile it either awaits `next`, or has a sink that is
    called with every step's frames, so that no task needs to be resumed for them.

    `wake` comes from any thread; everything else runs on the loop.

    Args:
        hub: where the frames are.
    """

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self._loop = asyncio.get_running_loop()
        self._is_wake_pending = False
        self._looked_at = 0.0
        # Who waits for a stream, and how what it has is taken.
        self._waiters: dict[int, tuple[asyncio.Future[Any], Callable[[int], Any]]] = {}
        # Every stream that is followed, with its sink if it has one now.
        self._sinks: dict[int, Sink | None] = {}
        # Streams whose frames wait because their last `send` has not returned, and since when.
        self._lagging: dict[int, float] = {}
        self._turn: asyncio.Future[None] = self._loop.create_future()

    def are_of_running_loop(self) -> bool:
        """Whether they can be used here; not, where their loop was closed. RuntimeError where it is another."""
        if self._loop.is_closed():
            return False
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("this engine works for another event loop: an engine has one at a time")
        return True

    def wake(self) -> None:
        """Has the loop look for frames, soon. Cheap; calls that come before it looked are one."""
        # The flag falls before the loop looks, so whoever finds it up may rely on that look. Two threads that find it
        # down at once cost a second, empty look.
        if not self._is_wake_pending:
            self._is_wake_pending = True
            try:
                self._loop.call_soon_threadsafe(self._look)
            except RuntimeError:  # the loop is closed: nobody is left to wake
                self._is_wake_pending = False

    def catch_up(self) -> None:
        """Looks for frames now if the look that was asked for is late. For whoever keeps the loop, between two
        stretches: what `wake` asked for stands behind all the others that keep it."""
        if self._is_wake_pending and time.monotonic() - self._looked_at > _LATE_S:
            self._look()

    def follow(self, stream_key: int) -> None:
        """Keeps count of what is ready for a stream. To be called before the engine has it; ends with `close`."""
        self._sinks[stream_key] = None

    def next(self, stream_key: int) -> asyncio.Future[Taken]:
        """What the stream has to send, once there is something, as `Hub.take`.

        One wait per stream at a time; who stops waiting calls `close`.
        """
        return self._next(stream_key, self.hub.take)

    def next_deltas(self, stream_key: int) -> asyncio.Future[Any]:
        """The same, as `Hub.take_deltas`."""
        return self._next(stream_key, self.hub.take_deltas)

    def _next(self, stream_key: int, take: Callable[[int], Any]) -> asyncio.Future[Any]:
        waiter = self._loop.create_future()
        if stream_key in self._lagging:
            del self._lagging[stream_key]
            waiter.set_result(take(stream_key))
        else:
            self._waiters[stream_key] = waiter, take
        return waiter

    def pour(self, stream_key: int, sink: Sink) -> None:
        """From now on `sink(frames, status, receipt)` is called with the frames as they come, while it returns true.

        Once it has returned false the frames wait, until it is poured into again or the stream is closed.
        """
        is_open = True
        if stream_key in self._lagging:
            del self._lagging[stream_key]
            is_open = sink(*self.hub.take(stream_key))
        self._sinks[stream_key] = sink if is_open else None

    def close(self, stream_key: int) -> None:
        """Forgets a stream; whoever waits for it is told that it is gone. Idempotent."""
        self._lagging.pop(stream_key, None)
        sink = self._sinks.pop(stream_key, None)
        if sink is not None:
            sink(*GONE)
        waiter, _ = self._waiters.pop(stream_key, _NOBODY)
        if waiter is not None and not waiter.done():
            waiter.set_result(GONE)

    async def turn(self) -> None:
        """Returns after the next wake: when an engine's state may have changed."""
        await asyncio.shield(self._turn)

    def stalled(self, for_s: float) -> list[int]:
        """Keys of the streams whose frames have waited longer than `for_s` for one `send` to return."""
        before = self._loop.time() - for_s
        return [key for key, since in self._lagging.items() if since < before]

    def _look(self) -> None:
        self._is_wake_pending = False
        take, sinks = self.hub.take, self._sinks  # a line here runs for every token
        self._looked_at = time.monotonic()
        for key in self.hub.take_ready():
            sink = sinks.get(key)
            if sink is None:
                self._resume(key)
                continue
            if not sink(*take(key)):
                sinks[key] = None
        if not self._turn.done():
            self._turn.set_result(None)
            self._turn = self._loop.create_future()

    def _resume(self, stream_key: int) -> None:
        if stream_key not in self._sinks:  # a stream that was cancelled may still be called ready, once
            return
        waiter, take = self._waiters.pop(stream_key, _NOBODY)
        if waiter is None:
            self._lagging.setdefault(stream_key, self._loop.time())
        elif not waiter.done():
            waiter.set_result(take(stream_key))
