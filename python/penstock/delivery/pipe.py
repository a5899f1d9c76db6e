"""The hot path: from the hub's frames to the host's `send`, with the request's task asleep.

Resuming a task for every token costs more than sending it. So frames are sent from the loop's own callback: the
awaitable that `send` returns is stepped once, by hand, and mostly that completes it. If it does not, because the
reader is slow, the task is woken to wait for the rest, and frames gather in the hub until it is through.

All steps of a `send` run in the task's context, wherever they are taken: what stands around the server may set a
context variable before a `send` and reset it after, as tracing does.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Generator, Iterator
from contextvars import Context, copy_context
from types import coroutine
from typing import TYPE_CHECKING, Any

from penstock.adapters.outlets import GONE

if TYPE_CHECKING:
    from penstock._core import Receipt
    from penstock.adapters.outlets import Outlets, Taken
    from penstock.http.types import Send

#: What an awaitable's first step gives when it was the last one.
_SENT = object()


class Pipe:
    """Sends one stream's frames, all but the last, for `pump`, which runs in `task`. One use."""

    # Between two tokens a stream's objects fall out of the processor's caches: the fewer to touch, the better.
    __slots__ = ("_blocked", "_end", "_key", "_outlets", "_run", "_send", "_task", "_wake")

    def __init__(self, outlets: Outlets, stream_key: int, send: Send, task: asyncio.Task[Any]) -> None:
        self._outlets = outlets
        self._task = task
        self._key = stream_key
        self._send = send
        self._wake: asyncio.Future[None] = task.get_loop().create_future()
        # What woke the task: a send that waits for its reader, as the iterator and what it waits for; or the end.
        self._blocked: tuple[Iterator[Any], Any] | None = None
        self._end: Taken | None = None
        self._run: Callable[..., Any] = _call

    async def pump(self) -> Taken:
        """Returns the last frames, not sent yet, the stream's final status, and what it came to."""
        run_in_context = _context_of(self._task).run
        while self._end is None:
            self._run = _call  # frames that wait already are taken here, in the task itself
            self._outlets.pour(self._key, self._sink)
            self._run = run_in_context
            await self._wake
            if self._blocked is not None:
                self._wake = self._wake.get_loop().create_future()
                await _rest_of(*self._blocked)
                self._blocked = None
        return self._end

    def close(self) -> None:
        """The client has gone: ends `pump`, if it waits for a send as soon as that returns."""
        self._end = GONE
        self._outlets.close(self._key)

    def _sink(self, frames: bytes, status: int, receipt: Receipt | None) -> bool:
        """Takes one step's frames. False once the task has been woken."""
        if status:
            self._end = (frames, status, receipt)
        elif not frames:  # called ready twice, and taken at the first call
            return True
        else:
            try:
                steps = self._send({"type": "http.response.body", "body": frames, "more_body": True}).__await__()
                waits_for = self._run(next, steps, _SENT)
            except Exception as error:
                if not self._wake.done():
                    self._wake.set_exception(error)
                return False
            if waits_for is _SENT:
                return True
            self._blocked = (steps, waits_for)
        if not self._wake.done():
            self._wake.set_result(None)
        return False


def _call(function: Callable[..., Any], *args: Any) -> Any:
    return function(*args)


def _context_of(task: asyncio.Task[Any]) -> Context:
    """The context of the running task, not a copy: only there can a token that was made in it be used."""
    get_context = getattr(task, "get_context", None)
    if get_context is not None:
        found: Context = get_context()
        return found
    # Before Python 3.12 a task does not tell; it holds nothing of the kind before its context.
    for each in gc.get_referents(task):
        if isinstance(each, Context):
            return each
    return copy_context()


@coroutine
def _rest_of(steps: Iterator[Any], waits_for: Any) -> Generator[Any, Any, None]:
    """Awaits the rest of an awaitable whose first step has been taken and which now waits for `waits_for`."""
    while True:
        try:
            sent = yield waits_for
        except BaseException as error:
            throw = getattr(steps, "throw", None)
            if throw is None:
                raise
            try:
                waits_for = throw(error)
            except StopIteration:
                return
        else:
            try:
                waits_for = next(steps) if sent is None else steps.send(sent)  # type: ignore[attr-defined]
            except StopIteration:
                return
