"""`run()` of a ported server, as a process: what is wrong with it is one sentence, and its streams end."""

import signal
import sys
import urllib.request
from pathlib import Path

import pytest
from processes import Launch, free_port

SCRIPT = Path(__file__).with_name("ported_server.py")


def run(fault: str = "", port: int | None = None) -> Launch:
    port = port or free_port()
    return Launch([sys.executable, str(SCRIPT), str(port), fault], port)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("entry", "must be an EndpointConfig, not tuple"),
        ("path", "Endpoint 'v1/mine': 'path'"),
        ("parameter", "Endpoint '/v1/mine': nothing fills the parameter 'database'"),
    ],
)
def test_a_bad_endpoint_fails_the_start_with_its_name(fault: str, sentence: str) -> None:
    with run(fault) as server:
        assert server.exit_code() in (1, 2)
        assert sentence in server.log


def test_a_start_that_fails_is_logged_and_ends_with_code_1() -> None:
    with run("startup") as server:
        assert server.exit_code() == 1
        assert "OSError: no database" in server.log


def test_a_shutdown_that_fails_is_logged_and_ends_with_code_1() -> None:
    with run("shutdown") as server:
        server.wait_for("/ready")
        server.signal(signal.SIGTERM)
        assert server.exit_code() == 1
        assert "OSError: the database is gone" in server.log


def test_workers_and_a_taken_port_are_one_sentence_each() -> None:
    with run("workers") as server:
        assert server.exit_code() == 2
        assert len(server.log.splitlines()) == 1
    with run() as first:
        first.wait_for("/ready")
        with run(port=first.port) as second:
            assert second.exit_code() == 2
            assert second.log == f"penstock: Cannot bind 127.0.0.1:{first.port}: Address already in use.\n"


def test_a_foreign_stream_is_closed_when_its_client_leaves() -> None:
    with run() as server:
        server.wait_for("/ready")
        answer = urllib.request.urlopen(server.url + "/ticks", timeout=5)
        assert answer.readline() == b"data: tick\n"
        assert answer.headers["x-request-id"]
        answer.close()
        server.wait_until(lambda: "ticks closed" in server.log, timeout_s=10)
        server.signal(signal.SIGTERM)
        assert server.exit_code() == 0
        assert "Traceback" not in server.log
