"""/v1/messages with Anthropic's client: what it reads, streams and accumulates, and which classes it raises."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from processes import Launch
from raw_http import ask, ask_json, head

anthropic = pytest.importorskip("anthropic")

HELLO: Any = [{"role": "user", "content": "Hello"}]
MESSAGES = "/v1/messages"


def client_of(server: Launch, key: str = "none") -> Any:
    return anthropic.Anthropic(base_url=server.url, api_key=key, max_retries=0, timeout=20)


@pytest.fixture(scope="module")
def client(echo_server: Launch) -> Iterator[Any]:
    with client_of(echo_server) as client:
        yield client


def test_a_message(client: Any) -> None:
    message = client.messages.create(model="echo", max_tokens=8, messages=HELLO, system="Be brief.")
    assert message.id.startswith("msg_")
    assert (message.type, message.role, message.model) == ("message", "assistant", "echo")
    assert message.content[0].type == "text"
    assert message.content[0].text
    assert (message.stop_reason, message.stop_sequence) == ("max_tokens", None)
    assert message.usage.output_tokens == 8
    assert message._request_id.startswith("req_")


def test_a_streamed_message_accumulates_to_the_plain_one(client: Any) -> None:
    asked = {"model": "echo", "max_tokens": 300, "messages": HELLO, "stop_sequences": ["stone"]}
    plain = client.messages.create(**asked)
    with client.messages.stream(**asked) as stream:
        texts = list(stream.text_stream)
        final = stream.get_final_message()
    assert "".join(texts) == plain.content[0].text
    assert len(texts) > 10, "a token is an event"
    assert [block.text for block in final.content] == [block.text for block in plain.content]
    assert (final.stop_reason, final.usage) == (plain.stop_reason, plain.usage)
    assert (final.stop_reason, final.stop_sequence) == ("stop_sequence", "stone")


def test_events_come_in_anthropics_order(client: Any) -> None:
    stream = client.messages.create(model="echo", max_tokens=3, messages=HELLO, stream=True)
    assert [event.type for event in stream] == [
        "message_start", "content_block_start", *["content_block_delta"] * 3, "content_block_stop",
        "message_delta", "message_stop",
    ]  # fmt: skip


def test_tokens_are_counted_as_a_message_counts_them(client: Any) -> None:
    prompt = {"model": "echo", "messages": HELLO, "system": [{"type": "text", "text": "Be brief."}]}
    counted = client.messages.count_tokens(**prompt)
    assert counted.input_tokens == client.messages.create(max_tokens=1, **prompt).usage.input_tokens
    long = client.messages.count_tokens(model="echo", messages=[{"role": "user", "content": "word " * 50_000}])
    assert long.input_tokens > 50_000, "whether or not it fits"


def test_an_agents_history_is_taken(client: Any) -> None:
    history: Any = [
        {"role": "user", "content": [{"type": "text", "text": "How warm is it?"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "I should look.", "signature": "x"},
                {"type": "redacted_thinking", "data": "x"},
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": "sky"}},
                {"type": "tool_use", "id": "t2", "name": "look", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "20"}]},
                {"type": "tool_result", "tool_use_id": "t2", "content": "21", "is_error": False},
                {"type": "text", "text": "So?"},
            ],
        },
    ]
    assert client.messages.create(model="echo", max_tokens=4, messages=history).content[0].text


def test_a_last_message_of_the_assistant_is_gone_on_with(client: Any) -> None:
    begun = client.messages.count_tokens(model="echo", messages=[*HELLO, {"role": "assistant", "content": "So"}])
    asked = client.messages.count_tokens(model="echo", messages=[*HELLO, {"role": "user", "content": "So"}])
    assert begun.input_tokens < asked.input_tokens, "no turn is begun"
    message = client.messages.create(
        model="echo", max_tokens=4, messages=[*HELLO, {"role": "assistant", "content": "So"}]
    )
    assert message.content[0].text


def test_errors_are_of_the_classes_that_the_client_knows(client: Any, guarded_server: Launch) -> None:
    def refused(**given: Any) -> Any:
        with pytest.raises(anthropic.APIStatusError) as error:
            client.messages.create(**{"model": "echo", "max_tokens": 4, "messages": HELLO} | given)
        body = error.value.body
        assert set(body) == {"type", "error", "request_id"}
        assert set(body["error"]) == {"type", "message"}
        return type(error.value), body["error"]["type"]

    assert refused(model="none") == (anthropic.NotFoundError, "not_found_error")
    bad = (anthropic.BadRequestError, "invalid_request_error")
    assert refused(max_tokens=0) == bad
    assert refused(messages=[]) == bad
    assert refused(messages=[{"role": "user", "content": [{"type": "image", "source": {}}]}]) == bad
    assert refused(tools=[{"type": "bash_20250124", "name": "bash"}]) == bad
    assert refused(messages=[{"role": "user", "content": "x" * 11_000_000}])[1] == "request_too_large"
    with client_of(guarded_server, "wrong") as stranger, pytest.raises(anthropic.AuthenticationError) as error:
        stranger.messages.create(model="echo", max_tokens=4, messages=HELLO)
    assert error.value.body["error"]["type"] == "authentication_error"
    with client_of(guarded_server, "secret") as known:
        assert known.messages.create(model="echo", max_tokens=4, messages=HELLO).content


def test_a_head_that_is_refused_is_told_in_anthropics_shape(echo_server: Launch) -> None:
    for request in (
        head("GET", MESSAGES),
        head("POST", MESSAGES, content_type="text/plain", content_length="1") + b"x",
        head("POST", MESSAGES, content_type="application/json", content_length="99999999"),
    ):
        content = json.loads(ask(echo_server, request).body)
        assert content["type"] == "error"
        assert content["request_id"].startswith("req_")


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"max_tokens": None}, "'max_tokens'"),
        ({"stop_sequences": ["x"] * 20}, "'stop_sequences'"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "'messages[0].role'"),
        ({"messages": [{"role": "assistant", "content": [{"type": "tool_use", "name": "f"}]}]}, "[0].id"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "[0].tool_use_id"),
        ({"system": [{"type": "image"}]}, "'system[0]'"),
        ({"tool_choice": {"type": "tool"}}, "'tool_choice.name'"),
        ({"n": 2}, "'n'"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_by_its_name(echo_server: Launch, wrong: dict[str, Any], named: str) -> None:
    answer = ask_json(echo_server, MESSAGES, {"model": "echo", "max_tokens": 4, "messages": HELLO} | wrong)
    assert answer.status == 400, answer.body
    assert named in json.loads(answer.body)["error"]["message"]


def test_a_deadline_ends_a_stream_with_an_error(slow_server: Launch) -> None:
    with client_of(slow_server) as client:
        headers = {"x-request-timeout": "0.9"}
        stream = client.messages.create(model="echo", max_tokens=9, messages=HELLO, stream=True, extra_headers=headers)
        with pytest.raises(anthropic.APIStatusError) as error:
            list(stream)
    assert error.value.body["error"]["type"] == "timeout_error"
