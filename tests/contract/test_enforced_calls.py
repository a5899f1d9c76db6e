"""A model that writes nothing but water still calls the tool that it must, with arguments of its schema, and closes a
thought whose budget is spent: the echo engine says what it is allowed to, and the official client reads it."""

import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import openai
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "server"))

from driver import play
from hubs import make_hub, settings

from penstock import PenstockServer
from penstock.adapters.echo import EchoEngine
from penstock.prompt import PromptEncoder

FOLDER = Path(__file__).parents[1] / "data/tokenizer"
PROMPT = PromptEncoder.load(FOLDER)
MESSAGES: Any = [{"role": "user", "content": "Turn the wheel."}]
PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {"way": {"enum": ["left", "right"]}, "times": {"type": "integer", "minimum": 1, "maximum": 3}},
    "required": ["way", "times"],
    "additionalProperties": False,
}
TURN: Any = {"type": "function", "function": {"name": "turn", "parameters": PARAMETERS}}
STOP: Any = {"type": "function", "function": {"name": "stop", "parameters": {"type": "object", "properties": {}}}}
#: So that the echo engine's text is not over before the answer is.
MORE = " x" * 900
FORM: Any = {"type": "json_schema", "json_schema": {"name": "form", "schema": PARAMETERS}}


def talk(scene: Callable[[openai.AsyncOpenAI], Awaitable[None]], **given: Any) -> None:
    """Runs `scene` with a client of a server whose model would write about water."""
    chosen = settings(engine="echo", **given)
    hub, metrics = make_hub(PROMPT)
    engine = EchoEngine(chosen, PROMPT, hub, metrics.model("echo"), "echo")
    server = PenstockServer(chosen, {"echo": engine}, metrics)

    async def with_client() -> None:
        http = httpx.AsyncClient(transport=httpx.ASGITransport(app=server.app))
        async with openai.AsyncOpenAI(
            base_url="http://test/v1", api_key="none", http_client=http, max_retries=0
        ) as client:
            await scene(client)

    play(server, with_client)


async def asked(client: openai.AsyncOpenAI, **body: Any) -> Any:
    """The plain answer's choice; the streamed one must say the same."""
    body = {"model": "echo", "messages": MESSAGES, "max_tokens": 900, **body}
    plain = (await client.chat.completions.create(**body)).choices[0]
    async with client.chat.completions.stream(**body) as stream:
        joined = (await stream.get_final_completion()).choices[0]
    assert joined.finish_reason == plain.finish_reason
    assert (joined.message.content or "") == (plain.message.content or "")
    calls = [[(each.function.name, each.function.arguments) for each in choice.message.tool_calls or []]
             for choice in (plain, joined)]  # fmt: skip
    assert calls[0] == calls[1]
    return plain


@pytest.mark.parametrize("tool_format", ["hermes", "qwen3_coder", "mistral", "pythonic", "llama3_json", "glm45"])
def test_a_call_that_is_required_is_made_and_valid(tool_format: str) -> None:
    async def scene(client: openai.AsyncOpenAI) -> None:
        choice = await asked(client, tools=[TURN], tool_choice="required", parallel_tool_calls=False)
        assert choice.finish_reason == "tool_calls"
        (call,) = choice.message.tool_calls
        assert call.function.name == "turn"
        jsonschema.validate(json.loads(call.function.arguments), PARAMETERS)

    talk(scene, tool_format=tool_format, reasoning_format="none")


def test_the_call_that_is_named_is_made() -> None:
    async def scene(client: openai.AsyncOpenAI) -> None:
        choice = await asked(
            client,
            tools=[TURN, STOP],
            parallel_tool_calls=False,
            tool_choice={"type": "function", "function": {"name": "turn"}},
        )
        assert {call.function.name for call in choice.message.tool_calls} == {"turn"}

    talk(scene, tool_format="hermes", reasoning_format="none")


def test_arguments_of_a_strict_tool_are_held_to_its_schema() -> None:
    strict = {"type": "function", "function": {**TURN["function"], "strict": True}}
    wrong = '<tool_call>\n{"name": "turn", "arguments": {"way": "up", "times": 7, "x": 1}}\n</tool_call>' + MORE

    async def scene(client: openai.AsyncOpenAI) -> None:
        choice = await asked(client, tools=[strict], parallel_tool_calls=False)
        (call,) = choice.message.tool_calls
        jsonschema.validate(json.loads(call.function.arguments), PARAMETERS)

    talk(scene, tool_format="hermes", reasoning_format="none", echo_text=wrong)


def test_a_schema_that_cannot_be_enforced_is_refused() -> None:
    bad = {"type": "function", "function": {"name": "f", "parameters": {"type": "array", "uniqueItems": True}}}

    async def scene(client: openai.AsyncOpenAI) -> None:
        with pytest.raises(openai.BadRequestError) as caught:
            await asked(client, tools=[bad], tool_choice="required")
        assert caught.value.param == "tool_choice"
        with pytest.raises(openai.BadRequestError) as caught:
            await asked(client, tools=[TURN], tool_choice="required", response_format=FORM)
        assert caught.value.param == "response_format.json_schema.schema"

    talk(scene, tool_format="hermes", reasoning_format="none")


def test_beside_a_form_tools_may_still_be_called() -> None:
    call = '<tool_call>\n{"name": "stop", "arguments": {}}\n</tool_call>' + MORE
    answer = json.dumps({"way": "left", "times": 2}) + MORE

    async def calls(client: openai.AsyncOpenAI) -> None:
        choice = await asked(client, tools=[TURN, STOP], response_format=FORM, parallel_tool_calls=False)
        assert [each.function.name for each in choice.message.tool_calls] == ["stop"]

    async def answers(client: openai.AsyncOpenAI) -> None:
        choice = await asked(client, tools=[TURN, STOP], response_format=FORM)
        assert (choice.finish_reason, json.loads(choice.message.content)) == ("stop", {"way": "left", "times": 2})

    talk(calls, tool_format="hermes", reasoning_format="none", echo_text=call)
    talk(answers, tool_format="hermes", reasoning_format="none", echo_text=answer)


def test_a_form_begins_after_the_thought_and_a_budget_closes_it() -> None:
    async def scene(client: openai.AsyncOpenAI) -> None:
        extra = {"thinking_token_budget": 5, "chat_template_kwargs": {"enable_thinking": True}}
        choice = await asked(client, response_format=FORM, extra_body=extra)
        assert choice.finish_reason == "stop"
        jsonschema.validate(json.loads(choice.message.content), PARAMETERS)
        assert choice.message.reasoning_content.startswith("Water runs")
        body: Any = {"model": "echo", "messages": MESSAGES, "max_tokens": 40, "extra_body": extra}
        free = (await client.chat.completions.create(**body)).choices[0]
        assert free.message.reasoning_content == choice.message.reasoning_content
        assert free.finish_reason == "length"

    talk(scene, reasoning_format="deepseek_r1", tool_format="none")


def test_the_budget_of_an_anthropic_thought_closes_it() -> None:
    """It was named in a warning and not kept."""
    body: dict[str, Any] = {"model": "echo", "messages": MESSAGES, "max_tokens": 40}
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 5}}

    async def scene(client: openai.AsyncOpenAI) -> None:
        extra: Any = {"thinking_token_budget": 5, "chat_template_kwargs": {"enable_thinking": True}}
        chat: Any = (await client.chat.completions.create(**body, extra_body=extra)).choices[0].message
        answer = await client.post("/messages", body=body | thinking, cast_to=httpx.Response)
        thought, text = answer.json()["content"]
        assert (thought["thinking"], text["text"]) == (chat.reasoning_content, chat.content)
        assert "x-penstock-warnings" not in answer.headers

    async def without_thoughts(client: openai.AsyncOpenAI) -> None:
        answer = await client.post("/messages", body=body | thinking, cast_to=httpx.Response)
        assert answer.json()["content"][0]["text"]
        assert "thinking.budget_tokens" in answer.headers["x-penstock-warnings"].split(", ")

    talk(scene, reasoning_format="deepseek_r1", tool_format="none")
    talk(without_thoughts, reasoning_format="none", tool_format="none")
