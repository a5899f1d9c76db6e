"""HTTP/1.1 by hand, for what no client library would send."""

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple

from processes import Launch

CHAT = "/v1/chat/completions"
HELLO: dict[str, Any] = {"model": "echo", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        """The error object; the body must be one."""
        content = json.loads(self.body)
        assert set(content) == {"error", "request_id", "timestamp"}
        assert set(content["error"]) == {"message", "type", "param", "code"}
        assert content["request_id"] == self.headers["x-request-id"]
        error: dict[str, Any] = content["error"]
        return error


@contextlib.contextmanager
def connection(server: Launch) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
        yield sock


def head(method: str, path: str, **headers: str) -> bytes:
    """A request's head. Header names are given with underscores."""
    lines = [f"{method} {path} HTTP/1.1", "host: localhost"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def post(path: str, body: bytes, **headers: str) -> bytes:
    headers = {"content_type": "application/json", "content_length": str(len(body)), **headers}
    return head("POST", path, **headers) + body


def read_answer(sock: socket.socket) -> Answer:
    """One answer with a known length or a chunked body."""
    with sock.makefile("rb") as file:
        status = int(file.readline().split()[1])
        headers = {}
        while (line := file.readline().strip()) != b"":
            name, _, value = line.decode("latin-1").partition(": ")
            headers[name] = value
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while (size := int(file.readline(), 16)) > 0:
                body += file.read(size)
                file.readline()
        else:
            body = file.read(int(headers.get("content-length", 0)))
    return Answer(status, headers, body)


def ask(server: Launch, request: bytes) -> Answer:
    with connection(server) as sock:
        sock.sendall(request)
        return read_answer(sock)


def ask_json(server: Launch, path: str, content: Any, **headers: str) -> Answer:
    return ask(server, post(path, json.dumps(content).encode(), **headers))
