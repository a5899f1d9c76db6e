"""Steps that fail, and a server that is told to go in the middle of a stream."""

import json
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

import metrics
import openai
import pytest
from processes import Launch
from raw_http import ask_json, post, read_answer

GREEDY: dict[str, Any] = {"model": "failing", "prompt": "The river", "max_tokens": 40, "temperature": 0}
LONG = GREEDY | {"max_tokens": 2000, "stream": True}
TEXT = "/v1/completions"


def text_of(server: Launch) -> str:
    text: str = json.loads(ask_json(server, TEXT, GREEDY).body)["choices"][0]["text"]
    return text


def begin(server: Launch, body: dict[str, Any]) -> socket.socket:
    """A request under way, its first bytes read if it streams."""
    sock = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    sock.sendall(post(TEXT, json.dumps(body).encode()))
    return sock


def test_a_failed_step_fails_its_own_requests_and_the_engine_goes_on(
    server: Launch, fail_steps: Callable[[int], None]
) -> None:
    expected = text_of(server)
    running = [begin(server, LONG) for _ in range(3)] + [begin(server, LONG | {"stream": False})]
    deadline = time.monotonic() + 10
    while metrics.read(server.url)["vllm:num_requests_running"] < 4:
        assert time.monotonic() < deadline
    queued = begin(server, GREEDY)
    fail_steps(1)
    *streams, plain = [read_answer(sock) for sock in running]
    for stream in streams:
        *_, error, done, rest = stream.body.split(b"\n\n")
        assert json.loads(error.removeprefix(b"data: "))["error"] == {
            "message": "The engine failed while it worked on this request.",
            "type": "server_error", "param": None, "code": "engine_error",
        }  # fmt: skip
        assert (done, rest) == (b"data: [DONE]", b"")
    assert (plain.status, plain.error["code"], plain.headers["x-should-retry"]) == (500, "engine_error", "true")
    assert json.loads(read_answer(queued).body)["choices"][0]["text"] == expected
    assert text_of(server) == expected
    for sock in [*running, queued]:
        sock.close()
    assert metrics.wait_until_idle(server.url)["penstock_pages_in_use"] == 0
    assert server.status("/health") == 200


def test_the_official_client_hears_of_it_in_mid_stream(server: Launch, fail_steps: Callable[[int], None]) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        stream = client.completions.create(**LONG)
        next(stream)
        fail_steps(1)
        with pytest.raises(openai.APIError) as failed:
            list(stream)
        assert failed.value.code == "engine_error"
        fail_steps(1)
        again = client.with_options(max_retries=1).completions.create(**GREEDY)
        assert again.choices[0].text == text_of(server)


def test_an_engine_that_keeps_failing_is_given_up(doomed_server: Launch, fail_steps: Callable[[int], None]) -> None:
    fail_steps(3)
    codes = [ask_json(doomed_server, TEXT, GREEDY).error["code"] for _ in range(4)]
    assert codes == ["engine_error", "engine_error", "engine_error", "engine_dead"]
    assert doomed_server.status("/health") == doomed_server.status("/ready") == 503


def test_a_stream_ends_well_after_sigterm(doomed_server: Launch) -> None:
    with begin(doomed_server, LONG | {"max_tokens": 1500}) as sock:
        assert sock.recv(200).startswith(b"HTTP/1.1 200")
        doomed_server.signal(signal.SIGTERM)
        doomed_server.wait_for("/ready", status=503, timeout_s=2)
        refused = ask_json(doomed_server, TEXT, GREEDY)
        assert (refused.status, refused.error["code"]) == (503, "draining")
        rest = b""
        while piece := sock.recv(1 << 16):
            rest += piece
    assert rest.count(b'"text"') >= 1499
    assert b'"finish_reason":"length"' in rest
    assert rest.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    assert doomed_server.exit_code() == 0
