"""What must hold in a worker process before it starts an engine: it is the only one, and JAX was not forked into it.

Granian tells an application neither its worker number nor how many there are; a lock file keyed by the supervisor does.
"""

from __future__ import annotations

import contextlib
import fcntl
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path

from penstock.errors import ConfigError

#: Workers of one launch start within a few hundred milliseconds; one that comes later replaces another (a reload).
_SAME_LAUNCH_S = 2.0
_POLL_S = 0.1

SECOND_WORKER = (
    "Penstock runs one engine, in one worker: start it with --workers 1. "
    "Serve more requests at once with --max-num-seqs; for more engines, start more servers behind a load balancer."
)


def refuse_forked_engine() -> None:
    """Refuses a worker that was forked from a process with JAX in it: XLA's threads do not survive a fork.

    Raises:
        ConfigError: JAX is imported already.
    """
    if is_worker() and multiprocessing.get_start_method() == "fork" and "jax" in sys.modules:
        raise ConfigError(
            "JAX was imported before the worker was forked and cannot run in it: "
            "start Penstock from a process that does not import jax."
        )


def is_worker() -> bool:
    """Whether a supervisor started this process to be its worker."""
    return multiprocessing.parent_process() is not None


class OnlyWorker:
    """The claim to be the only worker of this process's supervisor. The kernel drops it with the process.

    A second worker of the same launch is refused; one that replaces another waits for it to finish draining.
    """

    def __init__(self) -> None:
        self.path = Path(tempfile.gettempdir()) / f"penstock-{os.getuid()}-{_supervisor_key()}.lock"
        self._file: int | None = None

    def claim(self, *, wait_s: float) -> None:
        """Takes the claim, waiting at most `wait_s` for a worker that this one replaces.

        Raises:
            ConfigError: another worker of the same launch has it, or the replaced one did not leave in time.
        """
        deadline = time.monotonic() + wait_s
        while not self._try():
            if self._age_s() < _SAME_LAUNCH_S or time.monotonic() > deadline:
                raise ConfigError(SECOND_WORKER)
            time.sleep(_POLL_S)

    def release(self) -> None:
        """Gives the claim up and removes its file. Idempotent."""
        if self._file is not None:
            self.path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = None

    def _try(self) -> bool:
        """One attempt. A file that its last owner removed while we opened it counts for nothing."""
        file = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(file).st_ino == self.path.stat().st_ino:
                os.utime(file)
                self._file = file
                return True
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(file)
        return False

    def _age_s(self) -> float:
        """How long the present owner has had the claim."""
        with contextlib.suppress(FileNotFoundError):
            return time.time() - self.path.stat().st_mtime
        return float("inf")


def _supervisor_key() -> str:
    """The supervisor's process id and, where the system tells it, its start time: ids are used again."""
    parent = os.getppid()
    with contextlib.suppress(OSError, IndexError):
        stat = Path(f"/proc/{parent}/stat").read_text()
        return f"{parent}-{stat.rpartition(')')[2].split()[19]}"
    return str(parent)
