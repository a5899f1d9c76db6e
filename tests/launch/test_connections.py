"""Connections that nobody uses are closed, and those with a request are not: raw sockets against a live server."""

import contextlib
import json
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from processes import Launch, free_port, granian

IDLE_S, HEAD_S = 1.5, 1.0
SETTINGS = {"engine": "echo", "echo_interval_ms": "100", "idle_timeout_s": str(IDLE_S), "head_timeout_s": str(HEAD_S)}

#: The client's preface (RFC 9113, 3.4), an empty SETTINGS frame, and the acknowledgement of the server's.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS_FRAME = b"\0\0\0\x04\0\0\0\0\0"
SETTINGS_ACK = b"\0\0\0\x04\x01\0\0\0\0"
#: GET /version by the static table of HPACK (RFC 7541, appendix A), `:authority` and `:path` as literals.
GET_HEADERS = b"\x82\x86\x44\x08/version\x41\x09localhost"
GET_FRAME = len(GET_HEADERS).to_bytes(3, "big") + b"\x01\x05\0\0\0\x01" + GET_HEADERS

GET = b"GET /version HTTP/1.1\r\nhost: localhost\r\n\r\n"
UNUSED = {
    "silent": b"",
    "half an HTTP/1 head": b"GET /health HTTP/1.1\r\nhost: local",
    "half an HTTP/2 preface": PREFACE[:10],
    "HTTP/2 without a request": PREFACE + SETTINGS_FRAME,
    "kept alive, HTTP/1": GET,
    "kept alive, HTTP/2": PREFACE + SETTINGS_FRAME + SETTINGS_ACK + GET_FRAME,
}


@pytest.fixture(scope="module", params=["serve", "granian"])
def server(request: pytest.FixtureRequest) -> Iterator[Launch]:
    with start(request.param) as launch:
        yield launch


def start(kind: str, **settings: str) -> Launch:
    port, settings = free_port(), SETTINGS | settings
    if kind == "serve":
        flags = [part for name, value in settings.items() for part in (f"--{name.replace('_', '-')}", value)]
        launch = Launch([sys.executable, "-m", "penstock", "serve", *flags, "--port", str(port)], port)
    else:
        variables = {f"PENSTOCK_{name.upper()}": value for name, value in settings.items()}
        launch = Launch(granian("penstock.asgi:app", port), port, **variables)
    launch.wait_for("/ready")
    return launch


def connect(server: Launch, sent: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    connection.sendall(sent)
    return connection


def is_closed(connection: socket.socket) -> bool:
    """Whether the server has closed, reading what it sent before."""
    connection.setblocking(False)
    try:
        while connection.recv(65536):
            pass
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
    return True


def read(connection: socket.socket, name: str) -> bytes:
    try:
        return connection.recv(65536)
    except TimeoutError:
        raise AssertionError(f"still open: {name}") from None


def test_connections_without_a_request_are_closed(server: Launch) -> None:
    with ExitStack() as stack:
        connections = {name: stack.enter_context(connect(server, sent)) for name, sent in UNUSED.items()}
        time.sleep(HEAD_S / 2)
        assert not [name for name, connection in connections.items() if is_closed(connection)], "they have their time"
        for name, connection in connections.items():
            connection.settimeout(5)
            with contextlib.suppress(ConnectionResetError):
                while read(connection, name):
                    pass


def test_a_request_of_http_2_is_answered_in_these_bytes(server: Launch) -> None:
    """Else the test above would show nothing."""
    with connect(server, UNUSED["kept alive, HTTP/2"]) as connection:
        got = b""
        while b'"version"' not in got:
            piece = connection.recv(65536)
            assert piece
            got += piece


def test_a_connection_in_use_is_kept(server: Launch) -> None:
    with connect(server, b"") as connection:
        for _ in range(8):
            connection.sendall(GET)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
            time.sleep(IDLE_S / 4)


def test_a_slow_stream_is_kept_to_its_end(server: Launch) -> None:
    body = {"model": "echo", "prompt": "a", "max_tokens": 50, "stream": True}
    content = json.dumps(body).encode()
    head = (
        f"POST /v1/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {len(content)}"
    )
    with connect(server, f"{head}\r\n\r\n".encode() + content) as connection:
        got = b""
        while b"[DONE]" not in got:
            piece = connection.recv(65536)
            assert piece, got
            got += piece


@pytest.mark.parametrize("kind", ["serve", "granian"])
def test_a_stop_does_not_wait_for_connections_without_a_request(kind: str) -> None:
    with start(kind, idle_timeout_s="60", head_timeout_s="60") as server, ExitStack() as stack:
        for sent in UNUSED.values():
            stack.enter_context(connect(server, sent))
        time.sleep(0.3)
        server.signal(signal.SIGTERM)
        assert server.exit_code(7) == 0
