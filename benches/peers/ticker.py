"""What both peers serve: the same words, one to every live stream each PEER_INTERVAL_MS (0: no waiting)."""

from __future__ import annotations

import asyncio
import os

WORDS = ["water", " runs", " down", " the", " pipe", " and", " turns", " the", " wheel", ","]
INTERVAL_S = float(os.environ.get("PEER_INTERVAL_MS", "0")) / 1e3


class Ticker:
    """Wakes every waiter once per interval, on an absolute schedule."""

    def __init__(self) -> None:
        self._waiters: list[asyncio.Future[None]] = []
        self._task: asyncio.Task[None] | None = None

    def wait(self) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        if self._task is None:
            self._task = loop.create_task(self._run())
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiters.append(waiter)
        return waiter

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due += INTERVAL_S
            await asyncio.sleep(due - loop.time())
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
