"""Servers under test as processes: start, wait until they answer, count their CPU and memory, stop.

CPU and memory are sums over the process and all its descendants, from /proc (Linux).
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

BENCHES = Path(__file__).parent
_TICKS = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A TCP port of the loopback that nothing listens on now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _stat(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].split()


def family(root: int) -> set[int]:
    """`root` and all its descendants."""
    parents: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parents[int(entry)] = int(_stat(int(entry))[1])
            except (OSError, IndexError):
                continue
    out = {root}
    while more := {pid for pid, parent in parents.items() if parent in out} - out:
        out |= more
    return out


def cpu_s(root: int) -> float:
    """User and system seconds of a family, ended children included."""
    total = 0
    for pid in family(root):
        try:
            total += sum(map(int, _stat(pid)[11:15]))
        except OSError:
            continue
    return total / _TICKS


def rss_mb(root: int) -> float:
    """Resident MB (1e6) of a family, shared pages shared out (PSS where the kernel tells it)."""
    kib = 0
    for pid in family(root):
        try:
            rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            kib += sum(int(row.split()[1]) for row in rows if row.startswith("Pss:"))
        except OSError:
            continue
    return kib * 1024 / 1e6


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"server exited with {process.returncode} before it was ready")
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
    raise TimeoutError(f"{url} did not answer 200 within {timeout_s} s")


@contextmanager
def server(
    command: Sequence[str], *, ready_url: str, env: Mapping[str, str] | None = None, timeout_s: float = 180
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs `command` until the block ends; enters it once `ready_url` answers 200."""
    process = subprocess.Popen(
        [str(part) for part in command],
        env={**os.environ, **(env or {})},
        stdout=subprocess.DEVNULL,
        stderr=None if os.environ.get("BENCH_VERBOSE") else subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_until_ready(process, ready_url, timeout_s)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def python_script(name: str) -> str:
    """The path of a console script of the Python that runs this bench."""
    return str(Path(sys.executable).parent / name)
