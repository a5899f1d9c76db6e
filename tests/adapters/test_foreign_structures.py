"""What a foreign engine gives beside text: reasoning, tool calls and log probabilities, streamed and plain."""

from collections.abc import AsyncIterator
from typing import Any

from driver import CHAT, ask, play
from toy import COMPLETIONS, TEXT, Toy, error_of, server_of

from penstock import Abilities, ReturnSample

HELLO = {"messages": [{"role": "user", "content": "Hi"}]}
LOGPROB = {
    "token": "Let",
    "logprob": -0.5,
    "top_logprobs": [{"token": "Let", "logprob": -0.5}, {"token": "I", "logprob": -2}],
}


async def all_kinds() -> AsyncIterator[list[ReturnSample]]:
    yield [ReturnSample(0, "", 3, reasoning="hm")]
    yield [
        ReturnSample(0, "Let me", 2, reasoning=" so", logprobs=[LOGPROB, {"token": " me", "logprob": float("-inf")}])
    ]
    begun = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look", "arguments": ""}}
    yield [ReturnSample(0, "", 1, tool_calls=[begun])]
    yield [ReturnSample(0, "", 2, tool_calls=[{"index": 0, "function": {"arguments": '{"at": "ünder'}}])]
    whole = {"index": 1, "id": "call_2", "type": "function", "function": {"name": "wait", "arguments": "{}"}}
    yield [ReturnSample(0, "", 4, "tool_calls", tool_calls=[{"index": 0, "function": {"arguments": '"}'}}, whole])]


def joined(events: list[Any]) -> dict[str, Any]:
    """The message that a client adds up from chunks, by the rules of OpenAI's reference."""
    message: dict[str, Any] = {"content": "", "reasoning_content": "", "tool_calls": []}
    for event in events:
        for choice in event["choices"] if isinstance(event, dict) else []:
            delta = choice["delta"]
            for name in ("content", "reasoning_content"):
                message[name] += delta.get(name) or ""
            for piece in delta.get("tool_calls", []):
                calls = message["tool_calls"]
                if piece["index"] == len(calls):
                    calls.append({"id": piece["id"], "name": piece["function"]["name"], "arguments": ""})
                calls[piece["index"]]["arguments"] += piece["function"]["arguments"]
            message["finish_reason"] = choice["finish_reason"]
    return message


def test_all_that_a_sample_holds_is_shown() -> None:
    adapter = Toy(all_kinds)
    adapter.abilities = Abilities(chat=True, logprobs=True)
    server = server_of(adapter)

    async def scene() -> None:
        asked = {**HELLO, "logprobs": True, "top_logprobs": 2}
        plain = (await ask(server, "POST", CHAT, asked)).json()
        (choice,) = plain["choices"]
        message = choice["message"]
        calls = [{"id": each["id"], **each["function"]} for each in message["tool_calls"]]
        whole = {
            "content": message["content"], "reasoning_content": message["reasoning_content"], "tool_calls": calls,
            "finish_reason": choice["finish_reason"],
        }  # fmt: skip
        assert whole == {
            "content": "Let me",
            "reasoning_content": "hm so",
            "tool_calls": [
                {"id": "call_1", "name": "look", "arguments": '{"at": "ünder"}'},
                {"id": "call_2", "name": "wait", "arguments": "{}"},
            ],
            "finish_reason": "tool_calls",
        }
        streamed = await ask(server, "POST", CHAT, {**asked, "stream": True})
        assert joined(streamed.events) == whole
        content = choice["logprobs"]["content"]
        assert [(each["token"], each["logprob"]) for each in content] == [("Let", -0.5), (" me", -9999.0)]
        assert content[0]["top_logprobs"][1] == {"token": "I", "logprob": -2, "bytes": [73]}
        usage = plain["usage"]
        assert usage["completion_tokens"] == 12
        assert usage["completion_tokens_details"]["reasoning_tokens"] == 3

    play(server, scene)


def test_without_being_asked_no_logprobs_are_told() -> None:
    server = server_of(Toy(all_kinds))

    async def scene() -> None:
        answer = (await ask(server, "POST", CHAT, HELLO)).json()
        assert answer["choices"][0]["logprobs"] is None

    play(server, scene)


async def whole_calls() -> list[ReturnSample]:
    calls = [{"type": "function", "function": {"name": name, "arguments": "{}"}} for name in ("f", "g")]
    return [ReturnSample(0, "", 5, "stop", tool_calls=calls)]


def test_whole_calls_need_neither_index_nor_id() -> None:
    server = server_of(Toy(whole_calls))

    async def scene() -> None:
        (choice,) = (await ask(server, "POST", CHAT, HELLO)).json()["choices"]
        assert [call["function"]["name"] for call in choice["message"]["tool_calls"]] == ["f", "g"]
        assert all(call["id"].startswith("call_") for call in choice["message"]["tool_calls"])
        assert (choice["message"]["content"], choice["finish_reason"]) == (None, "tool_calls")

    play(server, scene)


async def whole_calls_one_by_one() -> AsyncIterator[list[ReturnSample]]:
    for name in ("f", "g"):
        yield [ReturnSample(0, "", 2, tool_calls=[{"function": {"name": name, "arguments": "{}"}}])]
    yield [ReturnSample(0, "", 1, "stop", logprobs={"content": None})]


def test_whole_calls_that_come_one_by_one_are_not_joined() -> None:
    adapter = Toy(whole_calls_one_by_one)
    adapter.abilities = Abilities(chat=True, logprobs=True)
    server = server_of(adapter)

    async def scene() -> None:
        (choice,) = (await ask(server, "POST", CHAT, {**HELLO, "logprobs": True})).json()["choices"]
        calls = [call["function"] for call in choice["message"]["tool_calls"]]
        assert calls == [{"name": "f", "arguments": "{}"}, {"name": "g", "arguments": "{}"}]
        assert choice["logprobs"]["content"] == [], "null is none"

    play(server, scene)


def test_a_completion_cannot_show_a_call() -> None:
    server = server_of(Toy(whole_calls))

    async def scene() -> None:
        answer = await ask(server, "POST", COMPLETIONS, TEXT)
        assert (answer.status, error_of(answer)["code"]) == (500, "engine_error")
        assert "a text completion cannot show" in error_of(answer)["message"]

    play(server, scene)
