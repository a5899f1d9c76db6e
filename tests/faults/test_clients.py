"""Clients that are killed, that read nothing, that come when there is no room, or whose time runs out."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import metrics
import openai
import pytest
from processes import Launch
from raw_http import Answer, ask, ask_json, post, read_answer

TEXT = "/v1/completions"
DOOMED = Path(__file__).parent / "doomed_client.py"
ENDLESS: dict[str, Any] = {"prompt": "The river", "max_tokens": 2000, "seed": 1, "stream": True}
LONG_PROMPT = ENDLESS | {"prompt": [7] * 2000, "max_tokens": 40}
PAGES, OPEN = "penstock_pages_in_use", "penstock_streams_open"
RUNNING, WAITING = "vllm:num_requests_running", "vllm:num_requests_waiting"
CANCELLED, REJECTED = "penstock_cancelled_requests_total", "vllm:admission_rejections_total"
CHOICES, LATENCIES = "vllm:request_success_total", "vllm:e2e_request_latency_seconds_count"


def wait_for(server: Launch, **at_least: float) -> metrics.Metrics:
    names = {"running": RUNNING, "waiting": WAITING, "open": OPEN, "ended": CHOICES}
    deadline = time.monotonic() + 10
    while True:
        found = metrics.read(server.url)
        if all(found[names[name]] >= value for name, value in at_least.items()):
            return found
        assert time.monotonic() < deadline, {name: found[names[name]] for name in at_least}
        time.sleep(0.01)


def wait_until_idle(server: Launch) -> metrics.Metrics:
    """Within two seconds nothing is held: no stream, no slot, no place in the queue, no page."""
    found = metrics.wait_until_idle(server.url, timeout_s=2)
    assert found[PAGES] == 0
    return found


@pytest.mark.parametrize(
    ("body", "num_requests", "when"),
    [
        (ENDLESS, 4, {"running": 4}),
        (ENDLESS | {"stream": False}, 4, {"running": 4}),
        (ENDLESS, 8, {"waiting": 4}),
        (ENDLESS | {"n": 20}, 1, {"waiting": 16}),
        (LONG_PROMPT, 8, {"waiting": 4}),
        (LONG_PROMPT, 3, {"running": 3}),
    ],
    ids=["decode", "plain", "queued", "choices", "queued behind prefill", "prefill"],
)
def test_killed_clients_cost_nothing(
    server: Launch, *, body: dict[str, Any], num_requests: int, when: dict[str, int]
) -> None:
    before = wait_until_idle(server)
    command = [sys.executable, str(DOOMED), str(server.port), str(num_requests), json.dumps(body)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        try:
            client.stdout.readline()
            assert wait_for(server, **when)[PAGES] > 0
        finally:
            client.send_signal(signal.SIGKILL)
    after = wait_until_idle(server)
    assert after[CANCELLED] - before[CANCELLED] == num_requests
    assert after[CHOICES] - before[CHOICES] == num_requests * body.get("n", 1)
    assert ask_json(server, TEXT, {"prompt": "The", "max_tokens": 2}).status == 200


def test_a_client_that_reads_nothing_is_let_go(serve_echo: Callable[..., Launch]) -> None:
    server = serve_echo("--echo-interval-ms", "1", "--max-pending-bytes", "4096")
    before = metrics.read(server.url)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", server.port))
        sock.sendall(post(TEXT, json.dumps(ENDLESS | {"n": 128}).encode()))
        wait_for(server, ended=before[CHOICES] + 128)
        sock.settimeout(10)
        *_, error, done, rest = read_answer(sock).body.split(b"\n\n")
    assert json.loads(error.removeprefix(b"data: "))["error"]["code"] == "slow_reader"
    assert (done, rest) == (b"data: [DONE]", b"")
    after = wait_until_idle(server)
    assert after[CANCELLED] == before[CANCELLED]
    assert after[CHOICES] - before[CHOICES] == 128


def test_a_full_queue_refuses_and_the_official_client_comes_back(server: Launch) -> None:
    socks = []
    before = wait_until_idle(server)
    for num_open in range(12):
        socks.append(socket.create_connection(("127.0.0.1", server.port), timeout=10))
        socks[-1].sendall(post(TEXT, json.dumps(ENDLESS).encode()))
        wait_for(server, open=num_open + 1)
    answer = ask_json(server, TEXT, ENDLESS)
    assert (answer.status, answer.error["code"]) == (503, "server_overloaded")
    assert 100 <= float(answer.headers["retry-after-ms"]) <= 60_000
    assert answer.headers["x-should-retry"] == "true"
    refused = metrics.read(server.url)
    assert refused[REJECTED] - before[REJECTED] == 1
    for name in (CHOICES, LATENCIES, OPEN):
        assert refused[name] - before[name] == (12 if name == OPEN else 0), "a refused request leaves no trace"

    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        with pytest.raises(openai.InternalServerError) as overloaded:
            client.completions.create(model="failing", prompt="The", max_tokens=1)
        assert overloaded.value.code == "server_overloaded"
        for sock in socks:
            sock.close()
        assert client.with_options(max_retries=3).completions.create(model="failing", prompt="The", max_tokens=1)
    wait_until_idle(server)


def with_limit(server: Launch, body: dict[str, Any], time_s: str) -> Answer:
    return ask(server, post(TEXT, json.dumps(body).encode(), x_request_timeout=time_s))


def test_a_plain_answer_runs_out_of_time(server: Launch) -> None:
    answer = with_limit(server, ENDLESS | {"stream": False}, "0.2")
    assert (answer.status, answer.error["code"]) == (504, "deadline_exceeded")
    assert answer.headers["x-should-retry"] == "false"
    wait_until_idle(server)


def test_a_stream_runs_out_of_time(server: Launch) -> None:
    *events, error, done, rest = with_limit(server, ENDLESS, "0.3").body.split(b"\n\n")
    assert len(events) > 2
    assert json.loads(error.removeprefix(b"data: "))["error"]["code"] == "deadline_exceeded"
    assert (done, rest) == (b"data: [DONE]", b"")
    wait_until_idle(server)


def test_a_queued_request_runs_out_of_time(server: Launch) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        sock.sendall(post(TEXT, json.dumps(ENDLESS | {"n": 16}).encode()))
        wait_for(server, running=4)
        assert with_limit(server, ENDLESS | {"stream": False}, "0.1").error["code"] == "deadline_exceeded"
        error, done, rest = with_limit(server, ENDLESS, "0.1").body.split(b"\n\n")
        assert json.loads(error.removeprefix(b"data: "))["error"]["code"] == "deadline_exceeded"
        assert (done, rest) == (b"data: [DONE]", b"")
    wait_until_idle(server)
