"""/v1/responses with the official client: what it reads, streams and accumulates, and what is kept."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from processes import Launch
from raw_http import ask, ask_json, head

RESPONSES = "/v1/responses"
INPUT = {"model": "echo", "input": "Hello", "max_output_tokens": 6}


def client_of(server: Launch, key: str = "none") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key=key, max_retries=0, timeout=20)


@pytest.fixture(scope="module")
def client(echo_server: Launch) -> Iterator[openai.OpenAI]:
    with client_of(echo_server) as client:
        yield client


@pytest.fixture(scope="module")
def two_keys(serve_echo: Callable[..., Launch]) -> Launch:
    return serve_echo("--api-key", "one", "--api-key", "two")


def test_a_response(client: openai.OpenAI) -> None:
    response = client.responses.create(
        model="echo", input="Hello", max_output_tokens=8, metadata={"a": "b"}, instructions="Be brief.", temperature=0.5
    )
    assert response.id.startswith("resp_")
    assert response.object == "response"
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.output_text
    assert response.usage is not None
    assert response.usage.output_tokens == 8
    assert response.usage.total_tokens == response.usage.input_tokens + 8
    assert (response.metadata, response.instructions, response.temperature) == ({"a": "b"}, "Be brief.", 0.5)
    assert (response.tools, response.tool_choice, response.parallel_tool_calls) == ([], "auto", True)
    assert response.to_dict() == client.responses.retrieve(response.id).to_dict()


def test_a_streamed_response_accumulates_to_the_plain_one(client: openai.OpenAI) -> None:
    stop = {"stop": ["stone"]}
    plain = client.responses.create(model="echo", input="Hello", extra_body=stop)
    with client.responses.stream(model="echo", input="Hello", extra_body=stop) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert final.status == "completed"
    assert final.output_text == plain.output_text
    assert final.usage == plain.usage
    assert [event.sequence_number for event in events] == list(range(len(events)))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == plain.output_text
    assert len(deltas) > 10, "a token is an event"
    kinds = [event.type for event in events if not event.type.endswith(".delta")]
    assert kinds == [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
        "response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed",
    ]  # fmt: skip
    assert client.responses.retrieve(final.id).output_text == plain.output_text


def test_a_stream_that_is_cut_short_ends_as_incomplete(client: openai.OpenAI) -> None:
    *_, last = client.responses.create(model="echo", input="Hello", max_output_tokens=3, stream=True)
    assert last.type == "response.incomplete"
    assert last.response.output[0].status == "incomplete"


def test_a_response_goes_on_from_a_stored_one(client: openai.OpenAI) -> None:
    first = client.responses.create(model="echo", input="Once", instructions="Not repeated.", max_output_tokens=5)
    second = client.responses.create(
        model="echo", input="Twice", previous_response_id=first.id, max_output_tokens=5, store=True
    )
    by_hand: Any = [
        {"role": "user", "content": "Once"},
        {"role": "assistant", "content": first.output_text},
        {"role": "user", "content": "Twice"},
    ]
    whole = client.responses.create(model="echo", input=by_hand, max_output_tokens=5)
    assert second.previous_response_id == first.id
    assert second.usage is not None
    assert second.usage == whole.usage, "the same prompt"
    third = client.responses.create(model="echo", input="And", previous_response_id=second.id, max_output_tokens=1)
    assert third.usage is not None
    assert third.usage.input_tokens > second.usage.input_tokens


def test_an_item_is_referred_to_by_its_id(client: openai.OpenAI) -> None:
    first = client.responses.create(model="echo", input="Once", max_output_tokens=5)
    by_reference: Any = [
        {"role": "user", "content": "Once"},
        {"type": "item_reference", "id": first.output[0].id},
        {"role": "user", "content": "Twice"},
    ]
    second = client.responses.create(model="echo", input=by_reference, max_output_tokens=5)
    by_id = client.responses.create(model="echo", input="Twice", previous_response_id=first.id, max_output_tokens=5)
    assert second.usage == by_id.usage
    items = client.responses.input_items.list(second.id, order="asc").data
    assert [item.id for item in items][1] == first.output[0].id, "what was referred to is kept in its place"


def test_items_are_listed_page_by_page(client: openai.OpenAI) -> None:
    turns: Any = [{"role": "user", "content": f"turn {i}"} for i in range(5)]
    response = client.responses.create(model="echo", input=turns, max_output_tokens=1)
    listed = list(client.responses.input_items.list(response.id, limit=2, order="asc"))
    assert [item.content[0].text for item in listed] == [turn["content"] for turn in turns]
    backwards = client.responses.input_items.list(response.id, limit=2)
    assert [item.content[0].text for item in backwards.data] == ["turn 4", "turn 3"]
    assert backwards.has_more
    for wrong in ({"limit": 0}, {"limit": 101}, {"order": "up"}):
        with pytest.raises(openai.BadRequestError):
            client.responses.input_items.list(response.id, **wrong)


def test_what_is_not_stored_is_not_found(client: openai.OpenAI) -> None:
    unkept = client.responses.create(model="echo", input="Hello", max_output_tokens=1, store=False)
    deleted = client.responses.create(model="echo", input="Hello", max_output_tokens=1)
    client.responses.delete(deleted.id)
    for response_id in (unkept.id, deleted.id, "resp_0", "x"):
        for ask_for in (client.responses.retrieve, client.responses.delete, client.responses.cancel):
            with pytest.raises(openai.NotFoundError):
                ask_for(response_id)
        with pytest.raises(openai.NotFoundError) as refused:
            client.responses.create(model="echo", input="Hello", previous_response_id=response_id)
        assert refused.value.code == "previous_response_not_found"
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="echo", input=[{"type": "item_reference", "id": f"msg_{unkept.id[5:]}_0"}])


def test_a_kept_response_cannot_be_cancelled(client: openai.OpenAI) -> None:
    response = client.responses.create(model="echo", input="Hello", max_output_tokens=1)
    with pytest.raises(openai.BadRequestError, match="synchronous"):
        client.responses.cancel(response.id)


def test_a_response_is_its_keys_own(two_keys: Launch) -> None:
    with client_of(two_keys, "one") as mine, client_of(two_keys, "two") as other:
        response = mine.responses.create(model="echo", input="Secret", max_output_tokens=1)
        assert mine.responses.retrieve(response.id).id == response.id
        with pytest.raises(openai.NotFoundError):
            other.responses.retrieve(response.id)
        with pytest.raises(openai.NotFoundError):
            other.responses.create(model="echo", input="Go on", previous_response_id=response.id)
        with pytest.raises(openai.NotFoundError):
            other.responses.create(model="echo", input=[{"type": "item_reference", "id": response.output[0].id}])
        with pytest.raises(openai.NotFoundError):
            other.responses.delete(response.id)


def test_an_agents_history_is_taken(client: openai.OpenAI) -> None:
    items: Any = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": each} for each in ("How warm", "is it?")]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "I should look."}]},
        {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": '{"at": "sky"}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "20"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "20", "annotations": []}]},
        {"role": "user", "content": "Thanks"},
    ]  # fmt: skip
    response = client.responses.create(model="echo", input=items, instructions="Speak.", max_output_tokens=3)
    assert response.output_text
    assert len(client.responses.input_items.list(response.id).data) == len(items)


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"input": None}, "input"),
        ({"background": True}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"n": 2}, "n"),
        ({"messages": []}, "messages"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tool_choice": {"type": "mcp"}}, "tool_choice.type"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"stream_options": {}}, "stream_options"),
        ({"input": [{"type": "computer_call_output"}]}, "input[0].type"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].type"),
        ({"input": [{"type": "function_call", "name": "f", "arguments": "{}"}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call_output", "call_id": "c"}]}, "input[0].output"),
        ({"input": []}, "input"),
        ({"stop": ["x"] * 20}, "stop"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_by_its_name(echo_server: Launch, wrong: dict[str, Any], param: str) -> None:
    answer = ask_json(echo_server, RESPONSES, INPUT | wrong)
    assert (answer.status, answer.error["param"]) == (400, param), answer.body


def test_what_changes_nothing_is_named(echo_server: Launch) -> None:
    answer = ask_json(
        echo_server, RESPONSES,
        INPUT | {"truncation": "auto", "include": ["reasoning.encrypted_content"], "prompt_cache_key": "k"},
    )  # fmt: skip
    assert answer.status == 200
    assert set(answer.headers["x-penstock-warnings"].split(", ")) == {"truncation", "include", "prompt_cache_key"}
    assert json.loads(answer.body)["prompt_cache_key"] == "k"


def test_a_deadline_ends_a_stream_as_failed(slow_server: Launch) -> None:
    body = json.dumps(INPUT | {"stream": True}).encode()
    request = head(
        "POST", RESPONSES, content_type="application/json", content_length=str(len(body)), x_request_timeout="0.9"
    )
    answer = ask(slow_server, request + body)
    data = [line.removeprefix(b"data: ") for line in answer.body.split(b"\n") if line.startswith(b"data: ")]
    last = json.loads(data[-1])
    assert last["type"] == "response.failed"
    assert last["response"]["status"] == "failed"
    assert last["response"]["error"]["code"] == "server_error"


def test_a_file_keeps_responses_over_a_restart(tmp_path: Path) -> None:
    import sys

    from processes import free_port

    command = [sys.executable, "-m", "penstock", "serve", "--engine", "echo"]
    ids = []
    for _ in range(2):
        port = free_port()
        flags = ["--port", str(port), "--response-store", str(tmp_path / "responses.db")]
        with Launch([*command, *flags], port) as server:
            server.wait_for("/ready")
            with client_of(server) as client:
                texts = [client.responses.retrieve(response_id).output_text for response_id in ids]
                assert all(texts)
                previous = {"previous_response_id": ids[-1]} if ids else {}
                ids.append(client.responses.create(model="echo", input="Hi", max_output_tokens=3, **previous).id)
