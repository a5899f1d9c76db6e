"""The thread that an engine lives in: load, then step while there is work, sleep while there is none.

Knows states and heartbeats; nothing of JAX, requests or frames.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections.abc import Callable

from penstock.errors import PenstockError
from penstock.generation import EngineState
from penstock.scheduler.scheduler import Scheduler

log = logging.getLogger("penstock.engine")

STOP_WAIT_S = 5.0
"""How long `stop` waits for a step."""

LOADING_STOP_WAIT_S = 0.5
"""How long `stop` waits for an engine that loads: a compilation cannot be interrupted and may take minutes."""

FAILED = "The engine has failed."
"""What clients are told; the reason is for the operator, in `detail` and in the log."""

Load = Callable[[Callable[[str], None]], Scheduler]


class EngineThread:
    """A daemon thread around a `Scheduler`.

    Args:
        load: makes the scheduler, on the thread; gets a function that takes its progress in words.

    Attributes:
        state: LOADING until `load` has returned; ERROR after it raised or steps failed beyond repair.
        detail: progress while loading, the reason of an error.
        scheduler: None while loading.
    """

    def __init__(self, load: Load) -> None:
        self.state = EngineState.LOADING
        self.detail = ""
        self.scheduler: Scheduler | None = None
        self._load = load
        self._on_step: Callable[[], None] = lambda: None
        self._is_stopping = False
        self._step_began: float | None = None
        self._thread = threading.Thread(target=self._run, name="penstock-engine", daemon=True)

    # ---- any thread

    def start(self, on_step: Callable[[], None]) -> None:
        """Returns at once. `on_step()` is called on the thread after steps with frames and on changes of state."""
        self._on_step = on_step
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread after its step, or between two programs. Waits for a step, not for a compilation."""
        self._is_stopping = True
        atexit.unregister(self.stop)
        if self.scheduler is not None:
            self.scheduler.queue.close()
        if self._thread.is_alive():
            self._thread.join(LOADING_STOP_WAIT_S if self.scheduler is None else STOP_WAIT_S)
        if self.state is not EngineState.ERROR:
            self.state = EngineState.STOPPED

    @property
    def heartbeat_age_s(self) -> float:
        """For how long the present step has been under way; 0 between steps, so an idle engine is never stuck."""
        began = self._step_began
        return 0.0 if began is None else time.monotonic() - began

    # ---- the engine's thread

    def _run(self) -> None:
        try:
            scheduler = self.scheduler = self._load(self._report)
            # A thread that the interpreter's end meets within XLA aborts the process. Here, as what is registered last
            # goes first: before what jax has registered meanwhile.
            atexit.register(self.stop)
            if not self._is_stopping:
                self._enter(EngineState.READY)
                self._step_until_closed(scheduler)
            self._end(EngineState.STOPPED, "", kind="draining", message="The server is stopping.")
        except _StoppedWhileLoadingError:
            self._enter(EngineState.STOPPED)
        except Exception as error:
            if not isinstance(error, PenstockError):  # those are one sentence, which whoever follows the load tells
                log.exception("the engine has failed")
            self._end(EngineState.ERROR, _sentence_of(error), kind="engine_dead", message=FAILED)

    def _step_until_closed(self, scheduler: Scheduler) -> None:
        while True:
            if scheduler.is_idle:
                scheduler.queue.wait()
            if scheduler.queue.is_closed:
                return
            self._step_began = time.monotonic()
            has_frames = scheduler.step()
            self._step_began = None
            if has_frames:
                self._on_step()

    def _end(self, state: EngineState, detail: str, *, kind: str, message: str) -> None:
        self._step_began = None
        self.state, self.detail = state, detail
        if self.scheduler is not None:
            self.scheduler.close(kind, message)
        self._on_step()

    def _enter(self, state: EngineState) -> None:
        self.state, self.detail = state, ""
        self._on_step()

    def _report(self, progress: str) -> None:
        if self._is_stopping:
            raise _StoppedWhileLoadingError
        self.detail = progress


class _StoppedWhileLoadingError(Exception):
    """Unwinds a load that nobody waits for any more."""


def _sentence_of(error: Exception) -> str:
    """One line for the operator; the traceback is in the log."""
    if isinstance(error, PenstockError):
        return str(error)
    first_line = str(error).partition("\n")[0]
    return f"The engine has failed ({type(error).__name__}: {first_line:.200})."
