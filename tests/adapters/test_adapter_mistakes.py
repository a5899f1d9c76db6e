"""What a foreign adapter does wrong is said by name, to the client and in the log; never an empty answer."""

import logging
from typing import Any

import pytest
from driver import ask, is_idle, play
from toy import COMPLETIONS, TEXT, Generate, Toy, error_of, server_of, whole

from penstock import ReturnSample

# ---- ways to generate


async def natural() -> Any:
    yield [ReturnSample(0, "one", 1)]
    yield [ReturnSample(0, " two", 1, "stop")]


async def returns_iterator() -> Any:
    return natural()


@pytest.mark.parametrize("generate", [natural, whole, returns_iterator])
@pytest.mark.parametrize("is_streamed", [False, True], ids=["plain", "stream"])
def test_every_way_to_generate_answers(generate: Generate, is_streamed: bool) -> None:
    server = server_of(Toy(generate))

    async def scene() -> None:
        answer = await ask(server, "POST", COMPLETIONS, {**TEXT, "stream": is_streamed})
        events = answer.events if is_streamed else [answer.json()]
        assert "".join(event["choices"][0]["text"] for event in events) == "one two"
        assert events[-1]["choices"][0]["finish_reason"] == "stop"
        assert is_idle(server)

    play(server, scene)


# ---- mistakes


async def yields_strings() -> Any:
    yield "one"


async def yields_a_sample() -> Any:
    yield ReturnSample(0, "one", 1)


async def lists_strings() -> Any:
    return ["one"]


async def ignores_n() -> Any:
    yield [ReturnSample(0, "one", 1, "stop")]


async def far_index() -> Any:
    yield [ReturnSample(7, "one", 1)]


async def negative_index() -> Any:
    yield [ReturnSample(-1, "one", 1)]


async def gives_none() -> Any:
    return None


async def yields_nothing() -> Any:
    for sample in ():
        yield sample


async def bytes_for_text() -> Any:
    return [ReturnSample(0, b"one", 1)]  # type: ignore[arg-type]


async def no_count() -> Any:
    return [ReturnSample(0, "one", None)]  # type: ignore[arg-type]


async def unknown_reason() -> Any:
    return [ReturnSample(0, "one", 1, "eos")]


async def aborts() -> Any:
    return [ReturnSample(0, "one", 1, "abort")]


async def call_without_function() -> Any:
    return [ReturnSample(0, "", 1, "stop", tool_calls=[{"id": "a"}])]


async def call_without_name() -> Any:
    return [ReturnSample(0, "", 1, "stop", tool_calls=[{"id": "a", "function": {"arguments": "{}"}}])]


async def calls_out_of_order() -> Any:
    return [ReturnSample(0, "", 1, "stop", tool_calls=[{"index": 1, "function": {"name": "f", "arguments": "{}"}}])]


async def arguments_as_object() -> Any:
    return [ReturnSample(0, "", 1, "stop", tool_calls=[{"function": {"name": "f", "arguments": {}}}])]


async def logprobs_without_tokens() -> Any:
    return [ReturnSample(0, "a", 1, "stop", logprobs={"content": [{"logprob": -1.0}]})]


async def more_logprobs_than_tokens() -> Any:
    return [ReturnSample(0, "a", 0, "stop", logprobs=[{"token": "a", "logprob": -1.0}])]


def is_sync() -> Any:
    return [ReturnSample(0, "one", 1, "stop")]


def is_sync_generator() -> Any:
    yield [ReturnSample(0, "one", 1, "stop")]


@pytest.mark.parametrize(
    ("generate", "words"),
    [
        (yields_strings, "yielded a value of type 'str', not a list of ReturnSample"),
        (yields_a_sample, "yielded a value of type 'ReturnSample', not a list"),
        (lists_strings, "a list with a value of type 'str' in it"),
        (ignores_n, "without a sample of choice 1; it was asked for 2"),
        (far_index, "index is 7, of 2 choices"),
        (negative_index, "index is -1, of 2 choices"),
        (gives_none, "returned None"),
        (yields_nothing, "without a sample of choice 0"),
        (bytes_for_text, "text is a value of type 'bytes'"),
        (no_count, "num_tokens must be an integer"),
        (unknown_reason, "finish reason 'eos' is none of 'stop', 'length'"),
        (aborts, "ended a choice by 'abort'"),
        (call_without_function, "tool call is not an object with a 'function'"),
        (call_without_name, "a tool call begins without a name"),
        (calls_out_of_order, "do not count up from 0 by their 'index'"),
        (arguments_as_object, "arguments are not a string of JSON"),
        (logprobs_without_tokens, "not an object with 'token' and 'logprob'"),
        (more_logprobs_than_tokens, "not a list of at most num_tokens tokens"),
        (is_sync, "must be an 'async def', but its call returned a value of type 'list'"),
        (is_sync_generator, "must be an 'async def', but its call returned a value of type 'generator'"),
    ],
)
def test_a_mistake_is_named(generate: Generate, words: str, caplog: pytest.LogCaptureFixture) -> None:
    server = server_of(Toy(generate))

    async def scene() -> None:
        plain = await ask(server, "POST", COMPLETIONS, {**TEXT, "n": 2})
        streamed = await ask(server, "POST", COMPLETIONS, {**TEXT, "n": 2, "stream": True})
        assert plain.status == 500
        for answer in (plain, streamed):
            assert error_of(answer)["code"] == "engine_error"
            assert words in error_of(answer)["message"]
        assert is_idle(server)

    with caplog.at_level(logging.ERROR):
        play(server, scene)
    assert sum(words in record.getMessage() for record in caplog.records) == 2


def test_a_count_that_is_none_is_named() -> None:
    class Countless(Toy):
        def count_tokens(self, content: Any) -> int:
            return None  # type: ignore[return-value]

    server = server_of(Countless(whole))

    async def scene() -> None:
        answer = await ask(server, "POST", COMPLETIONS, TEXT)
        assert (answer.status, error_of(answer)["code"]) == (500, "engine_error")
        assert "count_tokens() must return an integer" in error_of(answer)["message"]

    play(server, scene)
