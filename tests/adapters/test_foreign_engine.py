"""A foreign engine that only has generate(), behind the same server as ours."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "server"))

from driver import CHAT, ask, is_idle, play, start, until
from hubs import settings

from penstock import InferenceEngineAdapter, PenstockServer, ReturnSample, SamplingParams

WORDS = ["one", " two", " three", " END", " four"]


class Foreign(InferenceEngineAdapter):
    """Says its words, to every choice. Attributes: prompts: what it was given; num_closed: iterators that ended."""

    def __init__(self, pause_s: float = 0.0, failure: Exception | None = None) -> None:
        self.pause_s = pause_s
        self.failure = failure
        self.prompts: list[Any] = []
        self.num_closed = 0

    async def generate(
        self, prompts: str | list[str], sampling_params: SamplingParams, stream: bool = False
    ) -> list[ReturnSample] | AsyncIterator[list[ReturnSample]]:
        self.prompts.append(prompts)
        num_choices = (1 if isinstance(prompts, str) else len(prompts)) * sampling_params.n
        if self.failure is not None:
            raise self.failure
        if stream:
            return self._deltas(num_choices)
        await asyncio.sleep(self.pause_s)
        return [ReturnSample(i, "".join(WORDS), len(WORDS), "stop") for i in range(num_choices)]

    async def _deltas(self, num_choices: int) -> AsyncIterator[list[ReturnSample]]:
        try:
            for word in WORDS:
                await asyncio.sleep(self.pause_s)
                yield [ReturnSample(i, word, 1) for i in range(num_choices)]
        finally:
            self.num_closed += 1

    def count_tokens(self, content: Any) -> int:
        return len(str(content).split())

    def get_model_info(self) -> dict[str, Any]:
        return {"max_model_len": 100}

    @property
    def model_name(self) -> str:
        return "foreign"

    @property
    def processor(self) -> Any:
        return None


def foreign_server(adapter: Foreign, **given: Any) -> PenstockServer:
    return PenstockServer(settings(**given), {"foreign": adapter})


TEXT = {"model": "foreign", "prompt": "count to four"}


def test_plain_and_streamed_are_equal() -> None:
    adapter = Foreign()
    server = foreign_server(adapter)

    async def scene() -> None:
        plain = await ask(server, "POST", "/v1/completions", {**TEXT, "n": 2})
        assert [choice["text"] for choice in plain.json()["choices"]] == ["".join(WORDS)] * 2
        assert plain.json()["usage"] == {
            **plain.json()["usage"], "prompt_tokens": 3, "completion_tokens": 2 * len(WORDS)
        }  # fmt: skip
        streamed = await ask(server, "POST", "/v1/completions", {**TEXT, "n": 2, "stream": True})
        texts = ["", ""]
        for event in streamed.events:
            for choice in event["choices"]:
                texts[choice["index"]] += choice["text"]
        assert texts == ["".join(WORDS)] * 2
        assert streamed.events[-1]["choices"][0]["finish_reason"] == "stop"
        assert is_idle(server)

    play(server, scene)


@pytest.mark.parametrize("is_streamed", [False, True], ids=["plain", "stream"])
def test_stop_strings_are_the_servers(is_streamed: bool) -> None:
    adapter = Foreign()
    server = foreign_server(adapter)

    async def scene() -> None:
        answer = await ask(server, "POST", "/v1/completions", {**TEXT, "stop": " END", "stream": is_streamed})
        if is_streamed:
            text = "".join(event["choices"][0]["text"] for event in answer.events)
            assert adapter.num_closed == 1, "nobody asks for what comes after it"
        else:
            text = answer.json()["choices"][0]["text"]
        assert text == "one two three"

    play(server, scene)


def test_a_chat_without_a_template_is_lines() -> None:
    adapter = Foreign()
    server = foreign_server(adapter)
    messages = [{"role": "system", "content": "Count."}, {"role": "user", "content": [{"type": "text", "text": "Go"}]}]

    async def scene() -> None:
        answer = await ask(server, "POST", CHAT, {"model": "foreign", "messages": messages})
        assert answer.json()["choices"][0]["message"]["content"] == "".join(WORDS)
        assert adapter.prompts == ["system: Count.\nuser: Go\nassistant:"]

    play(server, scene)


def test_a_failure_is_an_engine_error() -> None:
    server = foreign_server(Foreign(failure=RuntimeError("secret")))

    async def scene() -> None:
        plain = await ask(server, "POST", "/v1/completions", TEXT)
        assert (plain.status, plain.json()["error"]["code"]) == (500, "engine_error")
        assert b"secret" not in plain.body
        streamed = await ask(server, "POST", "/v1/completions", {**TEXT, "stream": True})
        assert streamed.events[-1]["error"]["code"] == "engine_error"

    play(server, scene)


def test_leaving_closes_its_iterator() -> None:
    adapter = Foreign(pause_s=0.05)
    server = foreign_server(adapter)

    async def scene() -> None:
        client = start(server, {**TEXT, "stream": True}, "/v1/completions")
        await until(lambda: len(client.pieces) > 1)
        client.has_left.set()
        await client.answered
        await until(lambda: adapter.num_closed == 1 and is_idle(server))

    play(server, scene)


def test_it_is_bounded_and_takes_no_ids() -> None:
    adapter = Foreign(pause_s=0.2)
    server = foreign_server(adapter, max_queued_requests=1)

    async def scene() -> None:
        ids = await ask(server, "POST", "/v1/completions", {**TEXT, "prompt": [1, 2]})
        assert (ids.status, ids.json()["error"]["param"]) == (400, "prompt")
        long = await ask(server, "POST", "/v1/completions", {**TEXT, "prompt": "word " * 100})
        assert long.json()["error"]["code"] == "context_length_exceeded"
        first = start(server, TEXT, "/v1/completions")
        await until(lambda: bool(adapter.prompts))
        refused = await ask(server, "POST", "/v1/completions", TEXT)
        assert (refused.status, refused.json()["error"]["code"]) == (503, "server_overloaded")
        await first.answered
        assert first.status == 200

    play(server, scene)


def test_two_models_are_told_apart() -> None:
    one, two = Foreign(), Foreign()
    server = PenstockServer(settings(), {"org/one": one, "two": two})

    async def scene() -> None:
        await ask(server, "POST", "/v1/completions", {**TEXT, "model": "two"})
        assert (len(one.prompts), len(two.prompts)) == (0, 1)
        listed = (await ask(server, "GET", "/v1/models")).json()["data"]
        assert [model["id"] for model in listed] == ["org/one", "two"]
        assert (await ask(server, "GET", "/v1/models/org/one")).json()["max_model_len"] == 100
        assert (await ask(server, "POST", "/v1/completions", TEXT)).status == 404
        unnamed = await ask(server, "POST", "/v1/completions", {"prompt": "Hi"})
        error = unnamed.json()["error"]
        assert (unnamed.status, error["code"], error["param"]) == (400, "missing_required_parameter", "model")

    play(server, scene)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_request_for_no_tokens_is_answered_without_the_engine(streamed: bool) -> None:
    adapter = Foreign()
    server = foreign_server(adapter)

    async def scene() -> None:
        answer = await ask(server, "POST", "/v1/completions", {**TEXT, "max_tokens": 0, "n": 2, "stream": streamed})
        bodies = answer.events if streamed else [answer.json()]
        choices = [choice for body in bodies for choice in body["choices"]]
        assert [(each["index"], each["text"], each["finish_reason"]) for each in choices] == [
            (0, "", "length"), (1, "", "length"),
        ]  # fmt: skip
        assert adapter.prompts == []

    play(server, scene)
