"""Threads for what would block the event loop: templates, tokenizers, large bodies, tools. Bounded in both ways."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from penstock.errors import ApiError

T = TypeVar("T")


class WorkerPool:
    """A thread pool whose queue has an end. No thread is started before the first job.

    Args:
        num_threads: that work at once.
        max_jobs: that work or wait; one more is refused.
        name: of its threads; jobs: what clients are told that there are too many of.
    """

    def __init__(
        self, num_threads: int, *, max_jobs: int, name: str = "inference-worker", jobs: str = "prompts"
    ) -> None:
        self._threads = ThreadPoolExecutor(num_threads, thread_name_prefix=name)
        self._jobs = jobs
        self._max_jobs = max_jobs
        self._num_jobs = 0
        self._lock = threading.Lock()

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """`function(*args)` on a thread. A caller that is cancelled takes its job back if it has not begun; one that
        has begun counts until it ends.

        Raises:
            ApiError: "server_overloaded", too many jobs wait.
        """
        with self._lock:
            if self._num_jobs >= self._max_jobs:
                raise ApiError("server_overloaded", f"The server is busy: too many {self._jobs} wait.")
            self._num_jobs += 1
        job = self._threads.submit(function, *args)
        job.add_done_callback(self._count_end)
        # No name may hold the job: with its failure and this frame it would be a circle around the job's arguments.
        waiter = asyncio.wrap_future(job)
        del job
        try:
            return await waiter
        finally:
            del waiter

    def shut_down(self) -> None:
        """Takes no more jobs and forgets those that wait. Does not wait for the others."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _count_end(self, job: Future[Any]) -> None:
        with self._lock:
            self._num_jobs -= 1
