"""Answers built by hand, and messages as attributes. The judge of answers is the official client's own types."""

import json
from typing import Any

import pytest
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from penstock.prompt.chat_template import ChatTemplate
from penstock.protocol import (
    ChatCompletionRequest,
    ChatCompletionResponse,
    ChatCompletionResponseChoice,
    ChatCompletionStreamResponse,
    ChatCompletionStreamResponseChoice,
    ChatMessage,
    CompletionResponse,
    CompletionResponseChoice,
    CompletionStreamResponse,
    CompletionStreamResponseChoice,
    DeltaMessage,
    FunctionCall,
    Limits,
    ToolCall,
    UsageInfo,
    parse_chat,
)

CALL = ToolCall(index=0, id="call_1", type="function", function=FunctionCall(name="now", arguments="{}"))
USAGE = UsageInfo(prompt_tokens=3, completion_tokens=2, total_tokens=5, tokens_per_second=10.5)


def chat_answer() -> Any:
    message = ChatMessage(role="assistant", content=None, tool_calls=[CALL])
    choice = ChatCompletionResponseChoice(index=0, message=message, finish_reason="tool_calls")
    return ChatCompletionResponse(model="m", choices=[choice], usage=USAGE)


def chat_event() -> Any:
    choice = ChatCompletionStreamResponseChoice(delta=DeltaMessage(role="assistant", tool_calls=[CALL]))
    return ChatCompletionStreamResponse(model="m", choices=[choice])


def completion_answer() -> Any:
    return CompletionResponse(
        model="m", choices=[CompletionResponseChoice(text="a", finish_reason="stop")], usage=USAGE
    )


def completion_event() -> Any:
    return CompletionStreamResponse(model="m", choices=[CompletionStreamResponseChoice(text="a", finish_reason="stop")])


@pytest.mark.parametrize(
    ("build", "judge"),
    [
        (chat_answer, ChatCompletion),
        (chat_event, ChatCompletionChunk),
        (completion_answer, Completion),
        (completion_event, Completion),
    ],
)
def test_an_answer_built_by_hand_is_the_official_clients(build: Any, judge: Any) -> None:
    answer = build()
    read = judge.model_validate_json(answer.model_dump_json())
    assert (read.id, read.created, read.model) == (answer.id, answer.created, "m")
    if judge is ChatCompletion:
        assert read.choices[0].message.tool_calls[0].function.name == "now"
        assert answer.choices[0].message.tool_calls[0]["function"]["name"] == "now"
    assert answer.model_json_schema()["properties"]["choices"]["type"] == "array"


def test_messages_of_a_request_have_attributes() -> None:
    body = {"messages": [{"role": "developer", "content": "Be kind.", "extra": 1}, {"role": "user", "content": "Hi"}]}
    first, second = parse_chat(json.dumps(body).encode(), Limits()).request.messages
    assert isinstance(first, ChatMessage)
    assert (first.role, first.content, first.name, first.tool_calls) == ("system", "Be kind.", None, None)
    assert (second.role, second["content"]) == ("user", "Hi")
    second.content = "Hello"
    assert second == {"role": "user", "content": "Hello"}
    assert second.model_dump() == dict(second)
    with pytest.raises(AttributeError, match="no attribute 'extra'"):
        first.extra  # noqa: B018


def test_a_request_may_be_built_by_hand() -> None:
    message = ChatMessage(role="user", content="Hi")
    assert ChatCompletionRequest(messages=[message]).messages[0].content == "Hi"
    assert ChatCompletionRequest.model_json_schema()["properties"]["messages"]["type"] == "array"


def test_what_a_message_lacks_is_undefined_in_a_template() -> None:
    """An attribute that answers None would be taken for a value by `is defined`."""
    source = "{% for m in messages %}{{ m.role, m.tool_calls is defined, m.name is defined, m.content }}{% endfor %}"
    template = ChatTemplate({"default": source})
    assert template.render([ChatMessage(role="user", content="Hi")]) == "('user', False, False, 'Hi')"
