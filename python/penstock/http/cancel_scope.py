"""What may end a request before its answer is whole: its client leaves, its time runs out, its reader takes nothing.

By default the request's task is cancelled, wherever it waits. A generation puts an act of its own in place of that,
because an open stream still has something to say to a client that is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from penstock.http.types import Message, Receive

#: How long the last words of a cancelled request may take to send.
LAST_WORDS_S = 2.0


class CancelScope:
    """Ends one request early, once.

    Attributes:
        task: that answers the request.
        reason: the row of the error table for which it was ended, or None.
    """

    def __init__(self, receive: Receive, *, timeout_s: float) -> None:
        task = asyncio.current_task()
        assert task is not None, "a request is answered in a task"
        self.reason: str | None = None
        self.task = task
        self._receive = receive
        self._act: Callable[[str], None] | None = None
        self._watcher: asyncio.Future[Message] | None = None
        self._timer = task.get_loop().call_later(timeout_s, self.cancel, "deadline_exceeded")

    def watch_client(self) -> None:
        """Waits in `receive`, the only place that tells of a client's leaving. The body must have been read.

        A client that only closes its half of the connection counts as gone. Under Granian this cannot be otherwise:
        its HTTP/1 (hyper with `half_close` off, the default) closes the whole connection on reading the end.
        """
        if self._watcher is not None:
            return
        # What Granian's `receive` returns is a future itself: a task around it would cost more than it does.
        message: Any = self._receive()
        if not hasattr(message, "add_done_callback"):
            message = self.task.get_loop().create_task(message)
        self._watcher = message
        message.add_done_callback(self._on_message)

    def stop_watching(self) -> None:
        """To be called before an answer's last piece: hosts report an answered request as a client that has left."""
        if self._watcher is not None:
            self._watcher.cancel()
            self._watcher = None

    def close(self) -> None:
        """The request is answered. What has taken over and not given back was never asked for its answer."""
        self._timer.cancel()
        self.stop_watching()
        act = self.give_back()
        if act is not None:
            act("client_closed")

    def take_over(self, act: Callable[[str], None]) -> None:
        """From now on `act(reason)` is called in place of cancelling the task; it has to end what the task waits for.

        A task that still waits two seconds later, for a reader that takes nothing, is cancelled all the same.
        """
        self._act = act

    def give_back(self) -> Callable[[str], None] | None:
        """Ends what `take_over` began, and returns it."""
        act, self._act = self._act, None
        return act

    def cancel(self, reason: str) -> None:
        """Ends the request for `reason`, a row of the error table. Only the first one counts."""
        if self.reason is not None:
            return
        self.reason = reason
        if self._act is None:
            self.task.cancel()
            return
        self._timer.cancel()
        self._timer = self.task.get_loop().call_later(LAST_WORDS_S, self.task.cancel)
        self._act(reason)

    def _on_message(self, message: asyncio.Future[Message]) -> None:
        if message.cancelled() or message is not self._watcher:
            return
        self._watcher = None
        if message.exception() is None and message.result()["type"] != "http.disconnect":
            self.watch_client()
        else:
            self.cancel("client_closed")
