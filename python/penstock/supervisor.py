"""The supervisor: Granian's server with one worker, watched more closely.

It starts no thread before it has forked its worker, and imports neither JAX nor pydantic nor tokenizers.
Granian's own names that stand here are private to it: they were read in the version `GRANIAN_READ`.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import time
from collections import deque
from functools import partial
from types import FrameType
from typing import Any

from granian.server.mp import MPServer, WorkerProcess

logger = logging.getLogger("penstock.supervisor")

#: The version of Granian in which the names that are overridden here were read. A test tells when it moves.
GRANIAN_READ = "2.8.7"

#: `restarts` are counted within this time.
RESTART_WINDOW_S = 600.0

#: Exit codes of a worker that a stop signal met before it could handle it: as good as a clean end.
_STOPPED = {code for number in (signal.SIGTERM, signal.SIGINT) for code in (-number, 128 + number)}


class Supervisor(MPServer):
    """Granian's server. It passes on every signal, tells how its worker ended, and can start it again.

    Args:
        restarts: how often within ten minutes a worker that was killed is started again.
        options: Granian's own.

    Attributes:
        has_failed: whether the worker has ended with an error after a stop was asked for.
    """

    def __init__(self, *args: Any, restarts: int = 0, **options: Any) -> None:
        super().__init__(*args, **options)
        self.has_failed = False
        self._max_restarts = restarts
        self._restarted_at: deque[float] = deque(maxlen=max(1, restarts))
        self._own_pid = os.getpid()
        self._told_pid: int | None = None  # the worker whose end was told last
        self.on_startup(self._take_signals)  # called just before the fork
        self.on_startup(_spare_pages)

    # ---- signals

    def _take_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Granian signals its workers once: a later signal goes on to them here, so that it cuts the drain short.

        A fork inherits this handler, and a worker would lose a signal to it until it has its own.
        """
        if os.getpid() != self._own_pid:
            os._exit(128 + number)
        if not self.interrupt_signal:
            self.signal_handler_interrupt(number, frame)
        elif number != signal.SIGHUP:
            for worker in list(self.wrks):
                worker.terminate()

    # ---- the worker's end

    def _spawn_worker(self, idx: int, target: Any, callback_loader: Any) -> WorkerProcess:  # type: ignore[override]
        worker = super()._spawn_worker(idx, target, callback_loader)
        worker._watcher = partial(self._wait_for_end, worker)  # type: ignore[method-assign]  # a thread runs it
        return worker

    def _stop_workers(self) -> None:
        workers = list(self.wrks)
        super()._stop_workers()
        for worker in workers:
            code = _exit_code(worker)
            if worker.interrupt_by_parent and code not in {0, *_STOPPED}:
                self.has_failed = True
                self._tell_end(worker, code)

    def _wait_for_end(self, worker: WorkerProcess) -> None:
        worker.inner.join()
        if worker.interrupt_by_parent:
            return
        code = _exit_code(worker)
        self._tell_end(worker, code)
        if self.reload_on_changes:
            return  # the next change of a file starts another
        # Granian takes a worker that ends soon after a restart for a crash loop: the bound here is the user's.
        self.respawned_wrks.clear()
        self.respawn_failed_workers = code < 0 and self._may_restart()
        self.interrupt_children.append(worker.idx)
        self.main_loop_interrupt.set()

    def _tell_end(self, worker: WorkerProcess, code: int) -> None:
        """Once for each worker: one that ended by itself is stopped like any other afterwards."""
        if worker.inner.pid != self._told_pid:
            self._told_pid = worker.inner.pid
            logger.error("%s", describe_exit(worker.inner.pid, code))

    def _may_restart(self) -> bool:
        """Whether one more restart is within the bound; counts it."""
        if self._max_restarts == 0:
            return False
        now = time.monotonic()
        if len(self._restarted_at) == self._max_restarts and now - self._restarted_at[0] < RESTART_WINDOW_S:
            logger.error("Restarted %d times within ten minutes: giving up", self._max_restarts)
            return False
        self._restarted_at.append(now)
        logger.warning("Starting the worker again")
        return True


def _spare_pages() -> None:
    """Has the worker's garbage collector leave alone what it inherits: writing its marks there would make the fork's
    pages its own, 2 MB of them."""
    gc.collect()
    gc.freeze()


def _exit_code(worker: WorkerProcess) -> int:
    """Of a worker that has ended. Two threads join it: the one that comes second has to wait for the first's answer."""
    while (code := worker.inner.exitcode) is None:
        time.sleep(0.001)
    return int(code)


def describe_exit(pid: int, code: int) -> str:
    """How a worker ended, in a sentence: by which signal, or with which exit code."""
    if code >= 0:
        return f"The worker (process {pid}) ended by itself with exit code {code}."
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    hint = " The system does that when memory runs out: see its log (dmesg)." if -code == signal.SIGKILL else ""
    return f"The worker (process {pid}) was ended by {name}.{hint}"
