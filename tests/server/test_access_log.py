"""A line per request: what is in it, what never is, and that it holds nobody up."""

import json
import logging
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from driver import CHAT, HELLO, ask, echo_server, is_idle, play, start, until
from processes import Launch
from raw_http import ask_json

from penstock.http.access_log import AccessEntry, AccessLog

SECRET = "the prompt that nobody may read"
ASKED = {**HELLO, "messages": [{"role": "user", "content": SECRET}], "max_tokens": 5}


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What the access log gets."""
    log, found = logging.getLogger("penstock.access"), []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    handler = Keep()
    log.addHandler(handler)
    yield found
    log.removeHandler(handler)
    log.propagate = True


def entry(request_id: str = "r") -> AccessEntry:
    return AccessEntry(0.0, "GET", "/v1/models", 200, 0.25, request_id, "", None)


def test_a_line_names_the_trace_that_a_request_belongs_to(lines: list[str]) -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"

    async def scene() -> None:
        await ask(server, "GET", "/v1/models", traceparent=f"00-{trace_id}-00f067aa0ba902b7-01")
        await ask(server, "GET", "/v1/models", traceparent="none")
        await until(lambda: len(lines) == 2)
        assert lines[0].endswith(f" trace={trace_id}")
        assert "trace=" not in lines[1]

    server = echo_server()
    play(server, scene)


def test_a_line_says_what_was_asked_and_what_it_took(lines: list[str]) -> None:
    server = echo_server(api_key=["secret-key"])

    async def scene() -> None:
        given = {"authorization": "Bearer secret-key", "x_request_id": "mine"}
        plain = (await ask(server, "POST", CHAT, ASKED, **given)).json()["usage"]
        await ask(server, "POST", CHAT, {**ASKED, "stream": True}, **given)
        await ask(server, "POST", CHAT, {**ASKED, "temperature": "hot"}, **given)
        await ask(server, "GET", "/v1/models")
        await ask(server, "GET", "/v1/models/" + SECRET.replace(" ", "-"), **given)
        await ask(server, "GET", f"/nowhere/{SECRET}")
        await ask(server, "GET", "/health")
        await until(lambda: len(lines) == 6)
        chat = (
            rf"POST /v1/chat/completions 200 [\d.]+s prompt={plain['prompt_tokens']} completion=5 first=[\d.]+s "
            r"finish=length id=mine key=(\S+)"
        )
        assert all(re.fullmatch(chat, line) for line in lines[:2]), lines
        assert re.fullmatch(r"POST /v1/chat/completions 400 [\d.]+s id=mine key=\S+", lines[2])
        assert re.fullmatch(r"GET /v1/models 401 [\d.]+s id=req_\w+", lines[3])
        assert re.fullmatch(r"GET /v1/models/{model_id} 404 [\d.]+s id=mine key=\S+", lines[4])
        assert re.fullmatch(r"GET none 404 [\d.]+s id=req_\w+", lines[5])
        assert not [line for line in lines if "secret" in line or "prompt that" in line or "prompt-that" in line]

    play(server, scene)


def test_a_malformed_call_is_told_in_a_plain_answer_in_the_log_and_in_the_metrics(lines: list[str]) -> None:
    broken = '<tool_call>{"name": "unknown", "arguments": {}}</tool_call>'
    tool = {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}
    asked = {**HELLO, "max_tokens": 200, "tools": [tool]}
    server = echo_server(echo_text=broken, tool_format="hermes", reasoning_format="none")

    async def scene() -> None:
        plain = await ask(server, "POST", CHAT, {**asked, "user": "u", "n": 2})
        assert plain.headers["x-penstock-warnings"] == "user, malformed_tool_calls"
        assert plain.json()["choices"][0]["message"]["content"] == broken
        streamed = await ask(server, "POST", CHAT, {**asked, "stream": True})
        assert "x-penstock-warnings" not in streamed.headers, "its head has left"
        await ask(server, "POST", CHAT, {**asked, "tools": None})
        await until(lambda: len(lines) == 3)
        counts = [re.search(r" malformed_tool_calls=(\d)", line) for line in lines]
        assert [count and int(count[1]) for count in counts] == [2, 1, None], lines
        exposed = (await ask(server, "GET", "/metrics")).body.decode()
        assert re.search(r'penstock_malformed_tool_calls_total\{[^}]*model_name="echo"[^}]*\} 3\.0\n', exposed)

    play(server, scene)


def test_a_client_that_left_is_told_with_its_tokens(lines: list[str]) -> None:
    server = echo_server(echo_interval_ms=5)

    async def scene() -> None:
        for is_streamed in (True, False):
            client = start(server, {**ASKED, "stream": is_streamed, "max_tokens": 5000})
            await until(lambda: server.models["echo"].engine.status().num_running == 1)
            client.has_left.set()
            await client.answered
            await until(lambda: is_idle(server))
        await until(lambda: len(lines) == 2)
        for line in lines:
            assert re.search(r" 499 .* completion=\d+ .*finish=abort", line), line

    play(server, scene)


def test_a_log_that_is_off_says_nothing_and_has_no_thread(lines: list[str]) -> None:
    server = echo_server(access_log="off")

    async def scene() -> None:
        await ask(server, "POST", CHAT, ASKED)
        assert "penstock-access" not in [thread.name for thread in threading.enumerate()]

    play(server, scene)
    assert lines == []


def test_what_waits_is_written_at_the_end_and_the_thread_ends(lines: list[str]) -> None:
    log = AccessLog()
    log.add(entry("too early"))
    log.start("text")
    for number in range(500):
        log.add(entry(f"r{number}"))
    log.stop()
    assert [line.rpartition("=")[2] for line in lines] == [f"r{number}" for number in range(500)]
    assert "penstock-access" not in [thread.name for thread in threading.enumerate()]


def test_a_slow_writer_holds_nobody_up_and_tells_what_it_lost(
    lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.http.access_log._MAX_WAITING", 10)
    gate, log = threading.Event(), AccessLog()

    def stuck(entry: AccessEntry) -> str:
        gate.wait(10)
        return entry.request_id

    log._format = stuck
    log.start("text")
    for number in range(100):
        log.add(entry(f"r{number}"))
    gate.set()
    log.stop()
    lost = [int(found[1]) for line in lines if (found := re.match(r"(\d+) requests are not in this log", line))]
    assert sum(lost) + len(lines) - len(lost) == 100
    assert sum(lost) >= 89


def test_json_is_one_object_per_line(serve_echo: Callable[..., Launch]) -> None:
    server = serve_echo("--access-log", "json")
    for _ in range(2):
        assert ask_json(server, CHAT, ASKED, x_request_id="mine").status == 200

    def objects() -> list[dict[str, Any]]:
        return [json.loads(line) for line in server.log.splitlines() if line.startswith("{")]

    for _ in range(100):
        if len(objects()) >= 2:
            break
        threading.Event().wait(0.05)
    told = objects()[-1]
    assert (told["route"], told["status"], told["request_id"]) == (CHAT, 200, "mine")
    assert (told["completion_tokens"], told["finish_reason"], told["api_key_id"]) == (5, "length", None)
    assert told["malformed_tool_calls"] == 0
    assert 0 < told["time_to_first_token_s"] <= told["duration_s"]
    assert SECRET not in server.log
