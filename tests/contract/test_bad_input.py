"""What bad input gets, byte by byte over a socket: the row of the error table, and a server that goes on."""

import json
import time
from typing import Any

import metrics
import pytest
from processes import Launch
from raw_http import CHAT, HELLO, Answer, ask, ask_json, connection, head, post, read_answer

TEXT = "/v1/completions"


@pytest.fixture(autouse=True)
def goes_on(echo_server: Launch) -> Any:
    yield
    answer = ask_json(echo_server, CHAT, HELLO)
    assert answer.status == 200
    assert json.loads(answer.body)["choices"][0]["message"]["content"]
    metrics.wait_until_idle(echo_server.url)


def changed(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in {**HELLO, **fields}.items() if value != "absent"}


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "param"),
    [
        (CHAT, b"{nope", 400, None, None),
        (CHAT, b"", 400, None, None),
        (CHAT, b"[]", 400, "invalid_type", None),
        (CHAT, b'{"model": "echo"', 400, None, None),
        (CHAT, b"\xff\xfe", 400, None, None),
        (CHAT, b"[" * 100_000, 400, None, None),
        (CHAT, changed(model="other"), 404, "model_not_found", "model"),
        (CHAT, changed(messages="absent"), 400, "missing_required_parameter", "messages"),
        (CHAT, changed(messages=[]), 400, "invalid_value", "messages"),
        (CHAT, changed(messages="Hello"), 400, "invalid_type", "messages"),
        (CHAT, changed(max_tokens="many"), 400, "invalid_type", "max_tokens"),
        (CHAT, changed(max_tokens=-2), 400, "invalid_value", "max_tokens"),
        (CHAT, changed(temperature=-1), 400, "invalid_value", "temperature"),
        (CHAT, changed(temperature="hot"), 400, "invalid_type", "temperature"),
        (CHAT, changed(top_p=7), 400, "invalid_value", "top_p"),
        (CHAT, changed(n=0), 400, "invalid_value", "n"),
        (CHAT, changed(n=100_000), 400, "invalid_value", "n"),
        (CHAT, changed(stop=["x"] * 1000), 400, "invalid_value", "stop"),
        (TEXT, {"model": "echo", "prompt": [5, 10**30]}, 400, "invalid_value", "prompt"),
        (CHAT, changed(stop_token_ids=[10**30]), 400, "invalid_value", "stop_token_ids"),
        (CHAT, changed(stop_token_ids=[10**6]), 400, "invalid_value", "stop_token_ids"),
        (CHAT, changed(stop_token_ids=[2**31 - 1]), 400, "invalid_value", "stop_token_ids"),
        (CHAT, changed(stream="yes"), 400, "invalid_type", "stream"),
        (CHAT, changed(logprobs=True), 400, "unsupported_parameter", "logprobs"),
        (TEXT, {"model": "echo"}, 400, "missing_required_parameter", "prompt"),
        (TEXT, {"model": "echo", "prompt": []}, 400, "invalid_value", "prompt"),
        (TEXT, {"model": "echo", "prompt": [10**9]}, 400, "invalid_value", "prompt"),
        (TEXT, {"model": "echo", "prompt": ["a", 5]}, 400, "invalid_type", None),
        (TEXT, {"model": "echo", "prompt": "word " * 200_000}, 400, "context_length_exceeded", "prompt"),
        (TEXT, {"model": "echo", "prompt": ["a"] * 10_000}, 400, "invalid_value", "prompt"),
    ],
)
def test_a_body_is_refused_with_its_field(
    echo_server: Launch, *, path: str, body: Any, status: int, code: str | None, param: str | None
) -> None:
    answer = ask(echo_server, post(path, body if isinstance(body, bytes) else json.dumps(body).encode()))
    assert answer.status == status, answer
    assert answer.error["type"] == "invalid_request_error"
    assert answer.error["code"] == code
    if param is not None:
        assert answer.error["param"] == param
    assert "x-should-retry" not in answer.headers


def test_the_same_is_refused_when_streaming_is_asked_for(echo_server: Launch) -> None:
    answer = ask_json(echo_server, CHAT, changed(stream=True, model="other"))
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (head("GET", "/nowhere"), 404),
        (head("GET", "/v1"), 404),
        (head("GET", "/v1/models/org/other"), 404),
        (head("GET", CHAT), 405),
        (head("DELETE", "/v1/models"), 405),
        (head("PUT", "/health", content_length="0"), 405),
        (post(CHAT, b"{}", content_type="text/plain"), 415),
        (head("GET", "/health", **{f"x{number}": "1" for number in range(200)}), 431),
    ],
    ids=["unknown", "prefix", "model", "get", "delete", "put", "type", "headers"],
)
def test_a_head_is_refused(echo_server: Launch, request_bytes: bytes, status: int) -> None:
    answer = ask(echo_server, request_bytes)
    assert answer.status == status, answer
    if answer.headers.get("server") == "penstock":
        assert answer.error["type"] == "invalid_request_error"
    if status == 405:
        assert answer.headers["allow"]


@pytest.mark.parametrize("num_bytes", [200, 400_000])
@pytest.mark.parametrize("is_split", [False, True], ids=["at once", "head first"])
def test_an_unread_body_never_costs_the_next_request(guarded_server: Launch, num_bytes: int, is_split: bool) -> None:
    """After an early refusal a kept connection takes the next request, or the answer has said that it ends."""
    body = b"x" * num_bytes
    refused = [
        (head("POST", "/nowhere", content_type="application/json", content_length=str(num_bytes)), 404),
        (head("DELETE", "/v1/models", content_length=str(num_bytes)), 405),
        (head("POST", CHAT, content_type="text/plain", content_length=str(num_bytes)), 415),
        (head("POST", CHAT, content_type="application/json", content_length=str(num_bytes)), 401),
    ]
    for request_head, status in refused * 20:
        with connection(guarded_server) as sock:
            try:
                for part in (request_head, body) if is_split else (request_head + body,):
                    sock.sendall(part)
            except OSError:
                pass  # the answer came before the end of the body
            answer = read_answer(sock)
            assert answer.status == status
            if answer.headers.get("connection") != "close":
                sock.sendall(head("GET", "/health"))
                assert read_answer(sock).status == 200


def test_a_read_body_keeps_the_connection(echo_server: Launch) -> None:
    with connection(echo_server) as sock:
        for _ in range(3):
            sock.sendall(post(CHAT, b"{nope"))
            answer = read_answer(sock)
            assert (answer.status, answer.headers.get("connection")) == (400, None)


def test_a_body_over_the_limit(echo_server: Launch) -> None:
    with connection(echo_server) as sock:
        sock.sendall(head("POST", CHAT, content_type="application/json", content_length=str(11 << 20)))
        answer = read_answer(sock)
    assert_too_large(answer)


def test_a_chunked_body_over_the_limit(echo_server: Launch) -> None:
    chunk = b"%x\r\n%s\r\n" % (1 << 20, b" " * (1 << 20))
    with connection(echo_server) as sock:
        sock.sendall(head("POST", CHAT, content_type="application/json", transfer_encoding="chunked"))
        try:
            for _ in range(11):
                sock.sendall(chunk)
        except OSError:
            pass  # the answer came before the end of the body
        answer = read_answer(sock)
    assert_too_large(answer)


def assert_too_large(answer: Answer) -> None:
    assert answer.status == 413
    assert answer.error["code"] == "request_too_large"


def test_a_chunked_body_within_it(echo_server: Launch) -> None:
    body = json.dumps(HELLO).encode()
    pieces = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (body[:10], body[10:])) + b"0\r\n\r\n"
    request = head("POST", CHAT, content_type="application/json", transfer_encoding="chunked") + pieces
    assert ask(echo_server, request).status == 200


def test_garbage_in_place_of_http(echo_server: Launch) -> None:
    with connection(echo_server) as sock:
        sock.sendall(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
        assert sock.recv(1000)[:12] in (b"HTTP/1.1 400", b"HTTP/1.0 400")


@pytest.mark.parametrize("is_streamed", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("after_s", [0.0, 0.005, 0.1])
def test_a_client_that_vanishes(paced_server: Launch, is_streamed: bool, after_s: float) -> None:
    """Before it is read, while it is tokenized, while it decodes."""
    for _ in range(5):
        with connection(paced_server) as sock:
            sock.sendall(post(CHAT, json.dumps(changed(stream=is_streamed, max_tokens=5000)).encode()))
            time.sleep(after_s)
    metrics.wait_until_idle(paced_server.url)


def test_a_client_that_vanishes_inside_its_body(echo_server: Launch) -> None:
    with connection(echo_server) as sock:
        sock.sendall(head("POST", CHAT, content_type="application/json", content_length="100") + b"{")
        until_open(echo_server, 1)
    until_open(echo_server, 0)


def until_open(server: Launch, num_requests: int) -> None:
    """Of a body that is not whole no engine knows: only the server has it among its open requests."""
    for _ in range(250):
        if json.loads(ask(server, head("GET", "/health")).body)["active_requests"] == num_requests:
            return
        time.sleep(0.02)
    raise AssertionError(f"never {num_requests} open requests")


@pytest.mark.parametrize("rest", [b"zz\r\nhello", b"5\r\nhel"], ids=["no size", "cut off"])
def test_a_body_that_breaks_off_is_refused(echo_server: Launch, rest: bytes) -> None:
    with connection(echo_server) as sock:
        sock.sendall(head("POST", CHAT, content_type="application/json", transfer_encoding="chunked") + rest)
        if rest.startswith(b"5"):
            sock.shutdown(1)
        answer = read_answer(sock)
    assert answer.status == 400
    assert answer.error["type"] == "invalid_request_error"


def test_a_half_closed_client_counts_as_gone(paced_server: Launch) -> None:
    with connection(paced_server) as sock:
        sock.sendall(post(CHAT, json.dumps(changed(stream=True, max_tokens=5000)).encode()))
        sock.recv(100)
        sock.shutdown(1)
        metrics.wait_until_idle(paced_server.url)
