"""The life cycle over real processes and both event loops, around a tiny application."""

import os
import signal
import sys
import time
import urllib.request
from collections.abc import Iterator

import pytest
from processes import Launch, free_port, granian

RUN_TARGET = "import sys; from penstock.serve import run; run('double:app', host='127.0.0.1', port=int(sys.argv[1]))"


def start(kind: str, **environ: str) -> Launch:
    port = free_port()
    command = {
        "serve": [sys.executable, "-c", RUN_TARGET, str(port)],
        "granian-uvloop": granian("double:app", port, "--loop", "uvloop"),
        "granian-asyncio": granian("double:app", port, "--loop", "asyncio"),
    }[kind]
    launch = Launch(command, port, **environ)
    launch.wait_for("/")
    return launch


def open_stream(launch: Launch) -> Iterator[bytes]:
    answer = urllib.request.urlopen(launch.url + "/stream", timeout=30)
    assert answer.readline() == b"0\n"
    return iter(answer)


@pytest.mark.parametrize("kind", ["serve", "granian-uvloop", "granian-asyncio"])
@pytest.mark.parametrize("how", ["term", "term-group", "ctrl-c"])
def test_a_stream_finishes_while_new_work_is_refused(kind: str, how: str) -> None:
    with start(kind, DOUBLE_TICKS="12") as launch:
        stream = open_stream(launch)
        launch.signal(signal.SIGINT if how == "ctrl-c" else signal.SIGTERM, group=how != "term")
        launch.wait_for("/", status=503, timeout_s=2)
        assert list(stream)[-2:] == [b"11\n", b"[DONE]\n"]
        assert launch.exit_code() == 0
        assert "lifespan shutdown" in launch.log


def test_a_stream_is_cut_when_the_drain_takes_too_long() -> None:
    with start("granian-uvloop", DOUBLE_TICKS="600", DOUBLE_DRAIN_S="0.5") as launch:
        stream = open_stream(launch)
        launch.signal(signal.SIGTERM)
        assert list(stream)[-2:] == [b"cut\n", b"[DONE]\n"]
        assert launch.exit_code() == 0


@pytest.mark.parametrize("ctrl_c", [False, True], ids=["term", "ctrl-c"])
def test_a_second_signal_cuts_the_drain_short(ctrl_c: bool) -> None:
    number = signal.SIGINT if ctrl_c else signal.SIGTERM
    with start("serve", DOUBLE_TICKS="600") as launch:
        stream = open_stream(launch)
        launch.signal(number, group=ctrl_c)
        launch.wait_for("/", status=503, timeout_s=2)
        time.sleep(1.1)
        launch.signal(number, group=ctrl_c)
        assert list(stream)[-2:] == [b"cut\n", b"[DONE]\n"]
        assert launch.exit_code(5) == 0


def test_a_third_signal_ends_a_worker_that_hangs() -> None:
    with start("serve") as launch:
        with pytest.raises(OSError, match="timed out"):
            urllib.request.urlopen(launch.url + "/hang", timeout=0.5)
        for _ in range(3):
            launch.signal(signal.SIGTERM)
            time.sleep(1.1)
        launch.exit_code(5)
        assert "ending the process" in launch.log


def test_a_worker_stops_when_its_supervisor_is_killed() -> None:
    with start("serve") as launch:
        worker = launch.worker_pid()
        launch.signal(signal.SIGKILL)
        deadline = time.monotonic() + 10
        while os.path.exists(f"/proc/{worker}") and time.monotonic() < deadline:
            time.sleep(0.05)
        assert launch.status("/") == 0, launch.log


def test_a_second_worker_refuses_and_the_server_stops() -> None:
    port = free_port()
    with Launch(granian("double:app", port, "--workers", "2"), port) as launch:
        assert launch.exit_code() == 1
        assert launch.log.count("start it with --workers 1") == 1
        assert "Traceback" not in launch.log


def test_a_hangup_replaces_the_worker_under_granian() -> None:
    with start("granian-uvloop") as launch:
        first = launch.worker_pid()
        time.sleep(2.2)  # a worker this much younger replaces another; a sooner one would be a second
        launch.signal(signal.SIGHUP)
        deadline = time.monotonic() + 20
        while os.path.exists(f"/proc/{first}") and time.monotonic() < deadline:
            time.sleep(0.05)
        launch.wait_for("/", timeout_s=10)
        assert launch.worker_pid() != first


def test_a_worker_forked_from_a_process_with_jax_refuses() -> None:
    port = free_port()
    code = "import sys, types; sys.modules['jax'] = types.ModuleType('jax');" + RUN_TARGET
    with Launch([sys.executable, "-c", code, str(port)], port) as launch:
        assert launch.exit_code() == 1
        assert "start Penstock from a process that does not import jax" in launch.log
