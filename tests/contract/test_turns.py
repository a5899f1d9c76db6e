"""Thoughts, texts and calls in one answer, as the official clients of Responses and Messages put them together.

The echo engine writes a recorded output; what it says is known, so only its telling is judged.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from processes import Launch
from raw_http import ask_json

#: Its chat template shows tools, and the thoughts of earlier turns.
FOLDER = Path(__file__).parents[1] / "data/tokenizer"
ZONES = [{"zone": 'C"E\\T é🙂'}, {"zone": "Oslo", "digits": 4}]
THOUGHT = "Two zones, one time."
RECORDED = f"<think>\n{THOUGHT}\n</think>\n\nLet me look.\n" + "\n".join(
    "<tool_call>\n" + json.dumps({"name": "now", "arguments": each}, ensure_ascii=False) + "\n</tool_call>"
    for each in ZONES
)
SCHEMA = {"type": "object", "properties": {"zone": {"type": "string"}, "digits": {"type": "integer"}}}
FLAT: Any = [{"type": "function", "name": "now", "parameters": SCHEMA, "strict": False}]
ANTHROPICS: Any = [{"name": "now", "input_schema": SCHEMA}]
QUESTION: Any = [{"role": "user", "content": "What time is it?"}]


@pytest.fixture(scope="module")
def server(serve_echo: Callable[..., Launch]) -> Launch:
    flags = ["--model-name", "echo", "--echo-text", RECORDED, "--tool-format", "hermes", "--reasoning-format", "qwen3"]
    return serve_echo(str(FOLDER), *flags)


@pytest.fixture(scope="module")
def client(server: Launch) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=20)


def without_ids(item: Any) -> dict[str, Any]:
    told: dict[str, Any] = item.model_dump(exclude_none=True)
    return {name: value for name, value in told.items() if name not in ("id", "call_id", "parsed_arguments", "parsed")}


def test_a_response_has_an_item_for_each_part(client: openai.OpenAI) -> None:
    plain = client.responses.create(model="echo", input="Time?", tools=FLAT)
    assert [item.type for item in plain.output] == ["reasoning", "message", "function_call", "function_call"]
    thought: Any = plain.output[0]
    assert thought.content[0].text.strip() == THOUGHT
    assert plain.output_text.strip() == "Let me look."
    calls: Any = plain.output[2:]
    assert [json.loads(call.arguments) for call in calls] == ZONES
    assert len({call.call_id for call in calls}) == 2
    assert plain.status == "completed"
    assert plain.usage is not None
    assert plain.usage.output_tokens_details.reasoning_tokens > 0


@pytest.mark.parametrize("reasoning", [{}, {"summary": "auto"}], ids=["text", "summary"])
def test_a_streamed_response_accumulates_to_the_plain_one(client: openai.OpenAI, reasoning: Any) -> None:
    asked: Any = {"model": "echo", "input": "Time?", "tools": FLAT, "reasoning": reasoning}
    plain = client.responses.create(**asked)
    with client.responses.stream(**asked) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert [without_ids(item) for item in final.output] == [without_ids(item) for item in plain.output]
    assert final.usage == plain.usage
    kind = "reasoning_summary_text" if reasoning else "reasoning_text"
    thoughts = [event.delta for event in events if event.type == f"response.{kind}.delta"]
    assert "".join(thoughts).strip() == THOUGHT
    arguments = [event for event in events if event.type == "response.function_call_arguments.delta"]
    assert arguments[-1].snapshot == plain.output[-1].arguments, "the client's own sum"
    kept = client.responses.retrieve(final.id)
    assert [item.id for item in kept.output] == [item.id for item in final.output]
    assert [without_ids(item) for item in kept.output] == [without_ids(item) for item in final.output]


def test_the_outputs_of_calls_go_on_from_a_stored_response(client: openai.OpenAI) -> None:
    first = client.responses.create(model="echo", input="Time?", tools=FLAT)
    outputs: Any = [
        {"type": "function_call_output", "call_id": item.call_id, "output": "noon"}
        for item in first.output
        if item.type == "function_call"
    ]
    linked = client.responses.create(model="echo", input=outputs, previous_response_id=first.id, tools=FLAT)
    history: Any = [{"role": "user", "content": "Time?"}, *(item.model_dump() for item in first.output), *outputs]
    sent = client.responses.create(model="echo", input=history, tools=FLAT)
    assert linked.usage == sent.usage, "the same prompt"
    references: Any = [{"type": "item_reference", "id": item.id} for item in first.output]
    referred = client.responses.create(model="echo", input=[history[0], *references, *outputs], tools=FLAT)
    assert referred.usage == sent.usage


def test_without_tools_a_response_is_text(client: openai.OpenAI) -> None:
    answer = client.responses.create(model="echo", input="Time?")
    assert [item.type for item in answer.output] == ["reasoning", "message"]
    assert answer.output_text.count("<tool_call>") == 2


@pytest.fixture(scope="module")
def anthropic(server: Launch) -> Any:
    package = pytest.importorskip("anthropic")
    return package.Anthropic(base_url=server.url, api_key="none", max_retries=0, timeout=20)


def test_a_message_has_a_block_for_each_part(anthropic: Any) -> None:
    asked = {
        "model": "echo", "max_tokens": 500, "messages": QUESTION, "tools": ANTHROPICS,
        "thinking": {"type": "adaptive"},
    }  # fmt: skip
    plain = anthropic.messages.create(**asked)
    assert [block.type for block in plain.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert plain.content[0].thinking.strip() == THOUGHT
    assert plain.content[0].signature
    assert [block.input for block in plain.content[2:]] == ZONES
    assert plain.stop_reason == "tool_use"
    with anthropic.messages.stream(**asked) as stream:
        for _ in stream:
            pass
        final = stream.get_final_message()
    streamed, whole = ([block.to_dict() for block in each.content] for each in (final, plain))
    for block in (*streamed, *whole):
        block.pop("id", None)
        block.pop("signature", None)
        block.pop("parsed_output", None)
    assert streamed == whole
    assert (final.stop_reason, final.usage) == (plain.stop_reason, plain.usage)


def test_who_asks_for_no_thought_gets_none(anthropic: Any) -> None:
    message = anthropic.messages.create(model="echo", max_tokens=500, messages=QUESTION, tools=ANTHROPICS)
    assert [block.type for block in message.content] == ["text", "tool_use", "tool_use"]


def test_an_answer_goes_back_as_it_came(anthropic: Any) -> None:
    asked = {"model": "echo", "max_tokens": 500, "tools": ANTHROPICS, "thinking": {"type": "adaptive"}}
    first = anthropic.messages.create(messages=QUESTION, **asked)
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": "noon"}
        for block in first.content
        if block.type == "tool_use"
    ]
    history = [*QUESTION, {"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    second = anthropic.messages.create(messages=history, **asked)
    assert second.usage.input_tokens > first.usage.input_tokens
    counted = anthropic.messages.count_tokens(
        model="echo", messages=history, tools=ANTHROPICS, thinking={"type": "adaptive"}
    )
    assert counted.input_tokens == second.usage.input_tokens


def test_only_one_use_where_they_may_not_be_parallel(anthropic: Any) -> None:
    message = anthropic.messages.create(
        model="echo", max_tokens=500, messages=QUESTION, tools=ANTHROPICS,
        tool_choice={"type": "auto", "disable_parallel_tool_use": True},
    )  # fmt: skip
    assert [block.type for block in message.content] == ["text", "tool_use"]


def test_a_tool_that_is_not_there_cannot_be_chosen(server: Launch) -> None:
    content = {"input": "x", "tools": FLAT, "tool_choice": {"type": "function", "name": "then"}}
    answer = ask_json(server, "/v1/responses", content)
    assert (answer.status, answer.error["param"]) == (400, "tool_choice")
