"""What a model wrote, as the official client reads it: tool calls and thoughts, plain and streamed.

The echo engine writes recorded outputs; the judges are the client's own accumulators (`.stream()`, `.parse()`).
"""

import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from pydantic import BaseModel

sys.path.insert(0, str(Path(__file__).parents[1] / "server"))

from driver import play
from hubs import make_hub, settings

from penstock import PenstockServer
from penstock.adapters.echo import EchoEngine
from penstock.prompt import PromptEncoder

FOLDER = Path(__file__).parents[1] / "data/tokenizer"
MESSAGES: Any = [{"role": "user", "content": "What time is it in Ljubljana and in Oslo?"}]
PROMPT = PromptEncoder.load(FOLDER)


class Now(BaseModel):
    """Tells the time."""

    zone: str
    digits: int = 2


TOOL: Any = {
    "type": "function",
    "function": {
        "name": "now",
        "parameters": {"type": "object", "properties": {"zone": {"type": "string"}, "digits": {"type": "integer"}}},
    },
}
THOUGHT = "Two zones, one time.\n"
CALLS = [{"zone": 'C"E\\T é🙂'}, {"zone": "Oslo", "digits": 4}]
HERMES = f"<think>\n{THOUGHT}</think>\n\nLet me look.\n" + "\n".join(
    "<tool_call>\n" + json.dumps({"name": "now", "arguments": each}, ensure_ascii=False) + "\n</tool_call>"
    for each in CALLS
)
CODER = "Let me look.\n" + "\n".join(
    "<tool_call>\n<function=now>\n"
    + "".join(f"<parameter={name}>\n{value}\n</parameter>\n" for name, value in each.items())
    + "</function>\n</tool_call>"
    for each in CALLS
)


def talk(text: str, scene: Callable[[openai.AsyncOpenAI], Awaitable[None]], **given: Any) -> None:
    """Runs `scene` with a client of a server whose model answers `text`."""
    chosen = settings(engine="echo", echo_text=text, **{"tool_format": "hermes", "reasoning_format": "qwen3", **given})
    hub, metrics = make_hub(PROMPT)
    server = PenstockServer(chosen, {"echo": EchoEngine(chosen, PROMPT, hub, metrics.model("echo"), "echo")}, metrics)

    async def talked() -> None:
        transport = httpx.ASGITransport(app=server.app)
        async with (
            httpx.AsyncClient(transport=transport) as http,
            openai.AsyncOpenAI(base_url="http://a/v1", api_key="none", http_client=http, max_retries=0) as client,
        ):
            await scene(client)

    play(server, talked)


def calls_of(message: Any) -> list[tuple[str, Any]]:
    return [(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or ()]


async def ask(client: openai.AsyncOpenAI, **fields: Any) -> Any:
    """The plain answer, which the accumulated stream must equal."""
    plain = await client.chat.completions.create(model="echo", messages=MESSAGES, **fields)
    async with client.chat.completions.stream(
        model="echo", messages=MESSAGES, stream_options={"include_usage": True}, **fields
    ) as stream:
        streamed = await stream.get_final_completion()
    assert [choice.finish_reason for choice in streamed.choices] == [choice.finish_reason for choice in plain.choices]
    for one, other in zip(streamed.choices, plain.choices, strict=True):
        told = [choice.message.model_dump(exclude={"tool_calls"}, exclude_none=True) for choice in (one, other)]
        for each in told:
            each.pop("parsed", None)
            each.pop("content", None) if each.get("content") == "" else None
        assert told[0] == told[1]
        assert calls_of(one.message) == calls_of(other.message)
    assert streamed.usage.model_dump() == plain.usage.model_dump()
    assert plain.system_fingerprint.startswith("fp_")
    assert streamed.system_fingerprint == plain.system_fingerprint
    return plain


@pytest.mark.parametrize(
    ("text", "formats"), [(HERMES, {}), (CODER, {"tool_format": "qwen3_coder"})], ids=["hermes", "qwen3_coder"]
)
def test_calls_come_out(text: str, formats: dict[str, str]) -> None:
    async def scene(client: openai.AsyncOpenAI) -> None:
        answer = await ask(client, tools=[TOOL], n=2)
        for choice in answer.choices:
            assert choice.finish_reason == "tool_calls"
            assert calls_of(choice.message) == [("now", each) for each in CALLS]
            assert choice.message.content.strip() == "Let me look."
        ids = [call.id for choice in answer.choices for call in choice.message.tool_calls]
        assert len(set(ids)) == 4
        if text is HERMES:
            assert answer.choices[0].message.reasoning_content.strip() == THOUGHT.strip()
            assert answer.usage.completion_tokens_details.reasoning_tokens > 0

    talk(text, scene, **formats)


def test_the_clients_own_parser_reads_the_arguments_of_a_call_that_it_requires() -> None:
    """The client's tools are strict: what the model writes is held to their schemas."""
    call = '<tool_call>\n{"name": "now", "arguments": {"zone": "Oslo", "digits": 4}}\n</tool_call>'

    async def scene(client: openai.AsyncOpenAI) -> None:
        tool: Any = openai.pydantic_function_tool(Now, name="now")
        choice: Any = {"type": "function", "function": {"name": "now"}}
        answer = await client.chat.completions.parse(
            model="echo", messages=MESSAGES, tools=[tool], tool_choice=choice, parallel_tool_calls=False
        )
        calls = answer.choices[0].message.tool_calls
        assert calls is not None
        assert [call.function.parsed_arguments for call in calls] == [Now(zone="Oslo", digits=4)]

    talk(call, scene, reasoning_format="none")


def test_d12_without_tools_nothing_is_read_as_a_call() -> None:
    async def scene(client: openai.AsyncOpenAI) -> None:
        for fields in ({}, {"tools": [TOOL], "tool_choice": "none"}, {"tools": []}):
            answer = await ask(client, **fields)
            assert answer.choices[0].finish_reason == "stop"
            assert answer.choices[0].message.tool_calls is None
            assert answer.choices[0].message.content.count("<tool_call>") == 2

    talk(HERMES, scene)


def test_one_call_where_they_may_not_be_parallel() -> None:
    async def scene(client: openai.AsyncOpenAI) -> None:
        answer = await ask(client, tools=[TOOL], parallel_tool_calls=False)
        assert calls_of(answer.choices[0].message) == [("now", CALLS[0])]

    talk(HERMES, scene)


def test_who_asks_by_functions_is_answered_by_function_call() -> None:
    """It was told as `tool_calls`, which clients of that time do not read."""

    async def scene(client: openai.AsyncOpenAI) -> None:
        asked: Any = {"model": "echo", "messages": MESSAGES, "functions": [TOOL["function"]]}
        choice = (await client.chat.completions.create(**asked)).choices[0]
        assert (choice.finish_reason, choice.message.tool_calls) == ("function_call", None)
        assert choice.message.function_call is not None
        assert choice.message.function_call.name == "now"
        assert json.loads(choice.message.function_call.arguments) == CALLS[0]
        name, arguments, reason = [], "", None
        async for event in await client.chat.completions.create(**asked, stream=True):
            delta = event.choices[0].delta
            assert delta.tool_calls is None
            reason = event.choices[0].finish_reason
            if delta.function_call is not None:
                name += [delta.function_call.name] if delta.function_call.name else []
                arguments += delta.function_call.arguments or ""
        assert (name, arguments, reason) == (["now"], choice.message.function_call.arguments, "function_call")

    talk(HERMES, scene)


def test_thoughts_are_told_as_asked() -> None:
    async def scene(client: openai.AsyncOpenAI) -> None:
        left_out = (await ask(client, extra_body={"include_reasoning": False})).choices[0].message
        assert "Two zones" not in left_out.model_dump_json()
        kept = (await ask(client, extra_body={"separate_reasoning": False})).choices[0].message
        assert kept.content.startswith("<think>")
        assert not hasattr(kept, "reasoning_content")

    async def renamed(client: openai.AsyncOpenAI) -> None:
        message = (await ask(client)).choices[0].message
        assert message.reasoning.strip() == THOUGHT.strip()
        assert not hasattr(message, "reasoning_content")

    talk(HERMES, scene)
    talk(HERMES, renamed, reasoning_field="reasoning")


def test_a_thought_that_the_prompt_has_opened_or_closed() -> None:
    begun: Any = [*MESSAGES, {"role": "assistant", "content": "<think>\nTwo"}]

    async def scene(client: openai.AsyncOpenAI) -> None:
        continued = {"continue_final_message": True}
        answer = await client.chat.completions.create(model="echo", messages=begun, extra_body=continued)
        told: Any = answer.choices[0].message
        assert (told.reasoning_content.strip(), told.content.strip()) == ("zones.", "It is noon.")

    async def closed(client: openai.AsyncOpenAI) -> None:
        answer = await client.chat.completions.create(model="echo", messages=MESSAGES, reasoning_effort="none")
        assert answer.choices[0].message.content == "It is <think> noon."

    talk(" zones.</think>It is noon.", scene)
    talk("It is <think> noon.", closed)


def test_what_is_said_of_the_model() -> None:
    async def scene(client: openai.AsyncOpenAI) -> None:
        model: Any = await client.models.retrieve("echo")
        assert model.formats == {"tool": "hermes", "reasoning": "qwen3"}
        assert model.capabilities["tool_calling"]
        assert model.capabilities["reasoning"]

    talk(HERMES, scene, tool_format="auto", reasoning_format="auto")


def test_a_tool_that_must_be_called_is_one_of_them() -> None:
    async def scene(client: openai.AsyncOpenAI) -> None:
        choice: Any = {"type": "function", "function": {"name": "then"}}
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(model="echo", messages=MESSAGES, tools=[TOOL], tool_choice=choice)
        assert caught.value.param == "tool_choice"

    talk(HERMES, scene)
