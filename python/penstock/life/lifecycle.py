"""The end of a worker's life: signals, drain, and handing over to the host.

A host such as Granian closes its listener on SIGTERM at once and then waits for open streams without limit. So a worker
takes SIGTERM and SIGINT first: it stays reachable while it drains, streams get a limited time, and only then the host's
own handler runs.

The signals are blocked in every thread and waited for in one: the host's handlers, asyncio's and uvloop's, stay
installed and untouched, and an event loop that hangs cannot keep the process alive. A signal that comes while the
server starts ends the process at once. Knows nothing of engines or HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import NoReturn, Protocol

logger = logging.getLogger("penstock.lifecycle")

_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})
#: How often the signal thread looks at its deadline and whether the supervisor is alive.
_TICK_S = 1.0
#: What the drain's last frames, the host's shutdown and the application's may take before the process is ended.
_GRACE_S = 8.0
#: Signals that come this soon after another are the same act of the operator.
_SAME_ACT_S = 1.0
#: What threads may take to end after everything is over.
_LAST_THREADS_S = 0.5


class Drainable(Protocol):
    """What is drained: a server."""

    @property
    def drain_timeout_s(self) -> float:
        """How long a drain waits for open work."""

    def begin_drain(self) -> None:
        """Refuses new work from now on; what is open goes on."""

    async def drain(self, timeout_s: float) -> None:
        """Returns when all open work has ended, ending it with an error after `timeout_s`."""


def block_signals() -> None:
    """Keeps SIGTERM and SIGINT pending for `Lifecycle`, in this thread and all that it starts from now on.

    To be called before a library starts threads: the system hands a signal to any thread that does not block it.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


class Lifecycle:
    """Drains a server on a signal, then lets the host stop.

    The first signal drains; the second of its kind cuts the drain short; the third ends the process. One act may reach
    a worker twice: a terminal's Ctrl-C and systemd's stop go to the whole group, and the supervisor sends SIGTERM too.
    So kinds count apart, and signals within a second count once.
    """

    def __init__(self) -> None:
        self._server: Drainable | None = None
        self._close_connections: Callable[[], None] = lambda: None
        self._is_installed = False
        self._loop = asyncio.get_running_loop()
        self._deadline = float("inf")
        self._is_finished = False
        self._draining: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()

    def install(self) -> None:
        """Takes the signals. To be called on the main thread, inside the running loop, after `block_signals`."""
        block_signals()
        self._is_installed = True
        threading.Thread(target=self._wait_for_signals, name="penstock-signals", daemon=True).start()

    def watch_over(self, server: Drainable, *, close_connections: Callable[[], None] = lambda: None) -> None:
        """From now on there is something to drain: `server` has started.

        Args:
            close_connections: closes those without an open request, once the drain is over: the host waits for them.
        """
        self._server = server
        self._close_connections = close_connections

    def stop(self) -> None:
        """Drains and stops, as a signal would. On the loop; idempotent."""
        if self._server is not None and self._draining is None:
            self._deadline = time.monotonic() + self._server.drain_timeout_s + _GRACE_S
            self._server.begin_drain()
            self._draining = self._loop.create_task(self._drain(self._server))

    def finish(self, *, exit_code: int = 0) -> None:
        """Everything is over. What is left are threads in calls that nothing interrupts, as a compilation: the process
        does not wait for those. The host knows one exit code only, so another one ends the process here."""
        if exit_code and self._is_installed:
            _exit(exit_code)
        self._is_finished = True
        self._deadline = time.monotonic() + _LAST_THREADS_S

    async def _drain(self, server: Drainable) -> None:
        drain = asyncio.ensure_future(server.drain(server.drain_timeout_s))
        hurry = asyncio.ensure_future(self._hurry.wait())
        try:
            await asyncio.wait({drain, hurry}, return_when=asyncio.FIRST_COMPLETED)
            if drain.done():
                drain.result()
            else:
                drain.cancel()
                await server.drain(0)
        except Exception:
            logger.exception("The drain failed")
        finally:
            hurry.cancel()
            self._hand_over()

    def _hand_over(self) -> None:
        """Lets the host's own SIGTERM handler run, on this thread, now."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        signal.raise_signal(signal.SIGTERM)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        self._close_connections()

    def _wait_for_signals(self) -> None:
        supervisor = os.getppid() if multiprocessing.parent_process() is not None else None
        counts: Counter[int] = Counter()
        last = float("-inf")
        while time.monotonic() < self._deadline:
            taken = signal.sigtimedwait(_SIGNALS, _TICK_S)
            if taken is not None and taken.si_signo not in _SIGNALS:
                continue  # a debugger that stops the process can cut the wait short with nonsense
            if taken is not None:
                if time.monotonic() - last > _SAME_ACT_S:
                    last = time.monotonic()
                    counts[taken.si_signo] += 1
                    self._on_signal(taken.si_signo, max(counts.values()))
            elif supervisor is not None and os.getppid() != supervisor:
                logger.warning("The supervisor is gone: stopping")
                supervisor = None
                self._on_loop(self.stop)
        if self._is_finished:
            _exit(0)
        _end_now("The server did not stop in time")

    def _on_signal(self, number: int, times: int) -> None:
        name = signal.Signals(number).name
        if self._server is None:
            logger.info("%s while starting: ending at once", name)
            _exit(0)
        if times == 1:
            logger.info("%s: draining for at most %g s", name, self._server.drain_timeout_s)
            # Counted from here, not from the loop's turn: a loop that hangs must not live for ever.
            self._deadline = min(self._deadline, time.monotonic() + self._server.drain_timeout_s + _GRACE_S)
            self._on_loop(self.stop)
        elif times == 2:
            logger.warning("%s again: ending open requests now", name)
            self._deadline = min(self._deadline, time.monotonic() + _GRACE_S)
            self._on_loop(self._hurry.set)
        else:
            _end_now(f"{name} for the third time")

    def _on_loop(self, act: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the end is near without us
            self._loop.call_soon_threadsafe(act)


def _end_now(reason: str) -> NoReturn:
    logger.error("%s: ending the process", reason)
    _exit(1)


def _exit(code: int) -> NoReturn:
    logging.shutdown()
    os._exit(code)
