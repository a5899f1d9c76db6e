"""Servers as real processes: started on a free port, watched, and always ended."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def granian(target: str, port: int, *options: str) -> list[str]:
    return [str(BIN / "granian"), "--interface", "asgi", "--port", str(port), *options, target]


class Launch:
    """A server in a process group of its own, so that a signal can go to all of it as a terminal's does."""

    def __init__(self, command: list[str], port: int, **environ: str) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
        path = os.pathsep.join(filter(None, [str(HERE), inherited.get("PYTHONPATH")]))
        self.process = subprocess.Popen(
            command,
            cwd=HERE,
            env=inherited | {"PYTHONPATH": path} | environ,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def __enter__(self) -> "Launch":
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._log.close()

    @property
    def log(self) -> str:
        self._log.seek(0)
        return self._log.read().decode()

    def get(self, path: str) -> tuple[int, bytes]:
        """The HTTP status and body of a GET; 0 when nobody answers."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except (OSError, http.client.HTTPException):
            return 0, b""

    def status(self, path: str) -> int:
        return self.get(path)[0]

    def body(self, path: str) -> bytes:
        return self.get(path)[1]

    def wait_for(self, path: str, status: int = 200, timeout_s: float = 60) -> None:
        deadline = time.monotonic() + timeout_s
        while self.status(path) != status:
            assert self.process.poll() is None, f"exit code {self.process.returncode}\n{self.log}"
            assert time.monotonic() < deadline, f"{path} is {self.status(path)}, not {status}\n{self.log}"
            time.sleep(0.05)

    def wait_until(self, holds: Callable[[], bool], timeout_s: float = 60) -> None:
        deadline = time.monotonic() + timeout_s
        while not holds():
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)

    def signal(self, number: int, *, group: bool = False) -> None:
        (os.killpg if group else os.kill)(self.process.pid, number)

    def exit_code(self, timeout_s: float = 20) -> int:
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout_s} s\n{self.log}") from None

    def worker_pid(self) -> int:
        """The one child of the supervisor."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        assert len(children) == 1, children
        return int(children[0])
