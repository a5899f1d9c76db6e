"""What the supervisor leans on in Granian, and how it judges the end of a worker."""

import signal
import subprocess
import sys
from importlib.metadata import version

import pytest
from granian.server.common import AbstractServer, AbstractWorker
from granian.server.mp import MPServer, WorkerProcess

from penstock import supervisor
from penstock.supervisor import GRANIAN_READ, Supervisor, describe_exit

#: What is overridden, called or read there, by the class that has it.
PRIVATE = {
    MPServer: ["_spawn_worker"],
    AbstractServer: ["_stop_workers", "signal_handler_interrupt", "on_startup", "_serve_loop"],
    AbstractWorker: ["_watcher", "_watch"],
    WorkerProcess: ["terminate"],
}
ATTRIBUTES = [
    "wrks", "interrupt_signal", "interrupt_children", "main_loop_interrupt", "respawned_wrks",
    "respawn_failed_workers", "reload_on_changes",
]  # fmt: skip


def test_granian_is_the_version_whose_private_names_were_read() -> None:
    assert version("granian") == GRANIAN_READ, (
        "Granian has moved: read what PRIVATE and ATTRIBUTES name in its server/common.py and server/mp.py again, "
        "and how its workers set their signal handlers, then change GRANIAN_READ."
    )


def test_the_private_names_are_there() -> None:
    assert not [(owner, name) for owner, names in PRIVATE.items() for name in names if not hasattr(owner, name)]
    made = Supervisor("module:app")
    assert not [name for name in ATTRIBUTES if not hasattr(made, name)]


@pytest.mark.parametrize(
    ("code", "parts"),
    [
        (1, ["ended by itself", "exit code 1"]),
        (-signal.SIGKILL, ["SIGKILL", "memory runs out"]),
        (-signal.SIGSEGV, ["SIGSEGV"]),
        (-64, ["SIGRTMAX"]),
        (-50, ["signal 50"]),
    ],
)
def test_an_end_is_told_in_a_sentence(code: int, parts: list[str]) -> None:
    told = describe_exit(7, code)
    assert [part for part in [*parts, "process 7"] if part not in told] == []


def test_restarts_are_bounded_within_their_window(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(supervisor.time, "monotonic", lambda: clock[0])
    made = Supervisor("module:app", restarts=2)
    assert [made._may_restart() for _ in range(3)] == [True, True, False]
    clock[0] += supervisor.RESTART_WINDOW_S
    assert made._may_restart()
    assert not Supervisor("module:app")._may_restart()


def test_a_worker_inherits_objects_that_its_collector_leaves_alone() -> None:
    script = """
import gc
from penstock.supervisor import Supervisor
made = Supervisor("module:app")
next(hook for hook in made.hooks_startup if hook != made._take_signals)()
assert gc.get_freeze_count() > 0
"""
    subprocess.run([sys.executable, "-c", script], check=True)  # alone: others' garbage would be collected here, too
