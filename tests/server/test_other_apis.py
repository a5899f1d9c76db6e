"""Responses, Messages and tokens inside a server: foreign engines, full queues, stores that fail."""

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest
from driver import ask, echo_server, is_idle, play, start, until
from toy import Toy, server_of

from penstock import PenstockServer, ReturnSample
from penstock.errors import ApiError, ConfigError
from penstock.server import conversations
from penstock.server.response_store import MemoryResponseStore, StoredResponse
from penstock.server.routes import responses

RESPONSES, MESSAGES = "/v1/responses", "/v1/messages"
RESPONSE: dict[str, Any] = {"input": "Hello", "max_output_tokens": 4}
MESSAGE: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}


def named_events(body: bytes) -> list[bytes]:
    return [line.removeprefix(b"event: ") for line in body.split(b"\n") if line.startswith(b"event: ")]


def test_a_foreign_engine_speaks_them_too() -> None:
    async def answer() -> list[ReturnSample]:
        return [ReturnSample(0, "One two.", 2, "stop")]

    server = server_of(Toy(answer))

    async def scene() -> None:
        response = (await ask(server, "POST", RESPONSES, {"input": "Hello"})).json()
        assert response["output"][0]["content"][0]["text"]
        assert response["status"] == "completed"
        streamed = await ask(server, "POST", RESPONSES, {"input": "Hello", "stream": True})
        assert named_events(streamed.body)[-1] == b"response.completed"
        message = (await ask(server, "POST", MESSAGES, MESSAGE)).json()
        assert message["content"][0]["text"]
        counted = (await ask(server, "POST", f"{MESSAGES}/count_tokens", {"messages": MESSAGE["messages"]})).json()
        assert counted["input_tokens"] > 0
        assert (await ask(server, "POST", "/tokenize", {"prompt": "Hello"})).status == 501

    play(server, scene)


def test_a_full_queue_is_529_to_anthropics_clients() -> None:
    class Full(PenstockServer):
        def _check_has_room(self) -> None:
            raise ApiError("server_overloaded", "The queue is full.")

    server = echo_server(Full)

    async def scene() -> None:
        refused = await ask(server, "POST", MESSAGES, MESSAGE)
        assert (refused.status, refused.json()["error"]["type"]) == (529, "overloaded_error")
        assert (refused.headers["x-should-retry"], refused.headers["retry-after"]) == ("true", "1")
        assert (await ask(server, "POST", RESPONSES, RESPONSE)).status == 503
        server.begin_drain()
        refused = await ask(server, "POST", MESSAGES, MESSAGE)
        assert (refused.status, refused.json()["error"]["type"]) == (503, "overloaded_error")

    play(server, scene)


def test_a_stream_is_ended_by_a_drain_in_its_own_words() -> None:
    server = echo_server(echo_interval_ms=50)

    async def scene() -> None:
        streams = [
            start(server, {"input": "Hello", "stream": True}, RESPONSES),
            start(server, {**MESSAGE, "max_tokens": 500, "stream": True}, MESSAGES),
        ]
        for stream in streams:
            await asyncio.wait_for(stream.got.wait(), 5)
        await server.drain(0.0)
        for stream, last in zip(streams, (b"response.failed", b"error"), strict=True):
            await stream.answered
            assert named_events(stream.body)[-1] == last
        await until(lambda: is_idle(server))

    play(server, scene)


def test_who_leaves_is_not_kept() -> None:
    server = echo_server(echo_interval_ms=20)

    async def scene() -> None:
        stream = start(server, {"input": "Hello", "stream": True}, RESPONSES)
        await asyncio.wait_for(stream.got.wait(), 5)
        stream.has_left.set()
        await stream.answered
        await until(lambda: is_idle(server))
        response_id = stream.body.split(b'"id":"')[1].split(b'"')[0].decode()
        assert response_id.startswith("resp_")
        assert (await ask(server, "GET", f"{RESPONSES}/{response_id}")).status == 404

    play(server, scene)


def test_an_answer_goes_out_though_it_cannot_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: MemoryResponseStore, response: StoredResponse) -> None:
        raise ApiError("server_overloaded", "Too many wait.")

    monkeypatch.setattr(MemoryResponseStore, "put", fail)
    server = echo_server()

    async def scene() -> None:
        answer = await ask(server, "POST", RESPONSES, RESPONSE)
        assert answer.status == 200
        assert (await ask(server, "GET", f"{RESPONSES}/{answer.json()['id']}")).status == 404

    play(server, scene)


def test_the_longest_unused_response_goes_first() -> None:
    server = echo_server(response_store_size=10_000)

    async def scene() -> None:
        ids = [(await ask(server, "POST", RESPONSES, RESPONSE)).json()["id"] for _ in range(12)]
        found = [(await ask(server, "GET", f"{RESPONSES}/{each}")).status for each in ids]
        assert found == sorted(found, reverse=True), "404s, then 200s"
        assert {200, 404} == set(found)
        gone = await ask(server, "POST", RESPONSES, {**RESPONSE, "previous_response_id": ids[0]})
        assert gone.json()["error"]["code"] == "previous_response_not_found"

    play(server, scene)


def test_a_store_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    server = echo_server(response_store=tmp_path)

    async def scene() -> None:
        pass

    with pytest.raises(ConfigError, match=str(tmp_path)):
        play(server, scene)


def test_an_answer_that_is_kept_is_not_parsed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be large, and the loop would have parsed it only for its id, which is known."""
    server = echo_server()

    async def scene() -> None:
        monkeypatch.setattr(responses, "orjson", None)
        monkeypatch.setattr(conversations, "orjson", Dumps)
        made = await ask(server, "POST", RESPONSES, RESPONSE)
        monkeypatch.undo()
        kept = await ask(server, "GET", f"{RESPONSES}/{made.json()['id']}")
        assert kept.body == made.body

    play(server, scene)


class Dumps:
    """Of orjson, what a response that is kept needs."""

    dumps = staticmethod(orjson.dumps)


TOKENIZE, COUNT = "/tokenize", f"{MESSAGES}/count_tokens"
CHAT_TURNS = MESSAGE["messages"]


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        (TOKENIZE, {"prompt": "Hello", "flavour": 1, "add_generation_prompt": True}, "add_generation_prompt, flavour"),
        (TOKENIZE, {"messages": CHAT_TURNS, "temperature": 1.0, "flavour": 1, "user": None}, "temperature, flavour"),
        (TOKENIZE, {"messages": CHAT_TURNS, "chat_template_kwargs": {"mood": "good"}}, "chat_template_kwargs"),
        ("/detokenize", {"tokens": [5], "skip_special_tokens": True}, "skip_special_tokens"),
        (COUNT, {"messages": CHAT_TURNS, "max_tokens": 5, "flavour": 1}, "flavour, max_tokens"),
        ("/v1/tools/execute", {"name": "len", "arguments": {"text": "abc"}, "id": "call_1"}, "id"),
    ],
    ids=str,
)
def test_what_nothing_acts_on_is_named_or_refused_by_endpoints_that_make_no_answer(
    path: str, body: dict[str, Any], named: str
) -> None:
    lax, strict = echo_server(), echo_server(strict="on")

    def length(text: str) -> int:
        return len(text)

    for server in (lax, strict):
        server.tools.register(length, name="len")

    async def scene() -> None:
        answer = await ask(lax, "POST", path, body)
        assert (answer.status, answer.headers.get("x-penstock-warnings")) == (200, named), answer.body
        bare = {name: value for name, value in body.items() if name not in named.split(", ")}
        assert "x-penstock-warnings" not in (await ask(lax, "POST", path, bare)).headers

    async def refused() -> None:
        answer = await ask(strict, "POST", path, body)
        assert answer.status == 400, answer.body
        assert named.split(", ", maxsplit=1)[0] in answer.json()["error"]["message"]

    play(lax, scene)
    if named != "chat_template_kwargs":  # of which the template says, and not the door, what it reads
        play(strict, refused)


def test_a_template_of_the_clients_own_is_not_left_out_of_its_tokens_silently() -> None:
    server = echo_server()

    async def scene() -> None:
        body = {"messages": CHAT_TURNS, "chat_template": "{{ messages }}"}
        refused = await ask(server, "POST", TOKENIZE, body)
        assert (refused.status, refused.json()["error"]["param"]) == (400, "chat_template")

    play(server, scene)
