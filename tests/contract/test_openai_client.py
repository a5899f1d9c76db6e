"""The official client against a live server: what it returns, and which classes it raises."""

import asyncio
import json
from collections.abc import Callable, Iterator

import metrics
import openai
import pytest
from processes import Launch
from raw_http import ask_json

HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def client(echo_server: Launch) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{echo_server.url}/v1", api_key="none", max_retries=0, timeout=20) as client:
        yield client


def async_client(server: Launch) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=20)


def test_a_chat(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="echo", messages=HELLO, max_tokens=20)
    assert answer.id.startswith("chatcmpl-")
    assert answer.object == "chat.completion"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 20
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 20


def test_a_streamed_chat_equals_the_plain_one(client: openai.OpenAI) -> None:
    plain = client.chat.completions.create(model="echo", messages=HELLO, max_tokens=50)
    stream = client.chat.completions.create(model="echo", messages=HELLO, max_tokens=50, stream=True)
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == plain.choices[0].message.content
    assert [chunk.choices[0].delta.role for chunk in chunks] == ["assistant"] + [None] * (len(chunks) - 1)
    assert chunks[-1].choices[0].finish_reason == "length"
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert len(chunks) == 52, "a role, 50 tokens, a finish"


def test_usage_comes_last_when_asked_for(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="echo", messages=HELLO, max_tokens=5, stream=True, stream_options={"include_usage": True}
    )
    *others, last = stream
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == 5
    assert all(chunk.usage is None for chunk in others)


def test_the_stream_helper_accumulates(client: openai.OpenAI) -> None:
    plain = client.chat.completions.create(model="echo", messages=HELLO, max_tokens=8, stop=["the"])
    with client.chat.completions.stream(model="echo", messages=HELLO, max_tokens=100, stop=["the"]) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.content
    assert "the" not in final.choices[0].message.content
    assert final.choices[0].finish_reason == "stop"
    assert plain.choices[0].message.content is not None
    assert final.choices[0].message.content.startswith(plain.choices[0].message.content)


def test_choices(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="echo", messages=HELLO, max_tokens=7, n=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 21

    texts = ["", "", ""]
    for chunk in client.chat.completions.create(model="echo", messages=HELLO, max_tokens=7, n=3, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == [choice.message.content for choice in answer.choices]


def test_a_completion_takes_sixteen_tokens(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="echo", prompt="Once")
    assert answer.id.startswith("cmpl-")
    assert answer.object == "text_completion"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 16
    stream = client.completions.create(model="echo", prompt="Once", stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == answer.choices[0].text


@pytest.mark.parametrize("prompt", [["one", "two", "three"], [[5, 6], [7], [8, 9, 10]]], ids=["texts", "ids"])
def test_every_prompt_of_a_list_is_answered(client: openai.OpenAI, prompt: list[str] | list[list[int]]) -> None:
    answer = client.completions.create(model="echo", prompt=prompt, max_tokens=3, n=2)
    assert [choice.index for choice in answer.choices] == list(range(6))
    assert all(choice.text for choice in answer.choices)


def test_token_ids_are_counted_as_they_are(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="echo", prompt=[5, 6, 7], max_tokens=1)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 3


def test_max_tokens_is_clamped_to_the_room(client: openai.OpenAI) -> None:
    limit = client.models.retrieve("echo").max_model_len  # type: ignore[attr-defined]
    raw = client.completions.with_raw_response.create(model="echo", prompt=[5] * (limit - 10), max_tokens=1000)
    assert raw.headers["x-penstock-warnings"] == "max_tokens"
    answer = raw.parse()
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 10
    assert answer.choices[0].finish_reason == "length"


def test_no_tokens_is_a_number_of_tokens(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="echo", prompt=["One", "Two"], max_tokens=0, n=2)
    assert answer.usage is not None
    assert (answer.usage.completion_tokens, answer.usage.prompt_tokens > 0) == (0, True)
    assert [(choice.text, choice.finish_reason) for choice in answer.choices] == [("", "length")] * 4
    stream = client.chat.completions.create(model="echo", messages=HELLO, max_completion_tokens=0, stream=True)
    assert [choice.finish_reason for chunk in stream for choice in chunk.choices] == [None, "length"]


def test_the_only_model_need_not_be_named(echo_server: Launch) -> None:
    for path, body in {
        "chat/completions": {"messages": HELLO},
        "completions": {"prompt": "Once", "model": None},
    }.items():
        answer = ask_json(echo_server, f"/v1/{path}", body | {"max_tokens": 1})
        assert (answer.status, json.loads(answer.body)["model"]) == (200, "echo")


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["echo"]
    model = client.models.retrieve("echo")
    assert model.object == "model"
    assert model.sampling_defaults["source"]  # type: ignore[attr-defined]
    assert not set(model.info) & set(model.model_dump())  # type: ignore[attr-defined]  # each thing is said once


def test_errors_are_of_the_right_class(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="other", messages=HELLO)
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    assert missing.value.request_id is not None

    with pytest.raises(openai.BadRequestError) as bad:
        client.chat.completions.create(model="echo", messages=HELLO, temperature=3)
    assert bad.value.param == "temperature"

    with pytest.raises(openai.BadRequestError, match="maximum context length is") as long:
        client.completions.create(model="echo", prompt="word " * 100_000)
    assert long.value.code == "context_length_exceeded"

    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("org/other")


def test_comments_between_tokens_are_not_heard(slow_server: Launch) -> None:
    with openai.OpenAI(base_url=f"{slow_server.url}/v1", api_key="none", max_retries=0) as client:
        raw = client.chat.completions.with_streaming_response
        with raw.create(model="echo", messages=HELLO, max_tokens=3, stream=True) as answer:
            assert b": ping\n\n" in b"".join(answer.iter_bytes())
        chunks = list(client.chat.completions.create(model="echo", messages=HELLO, max_tokens=3, stream=True))
        assert len(chunks) == 5


def test_a_stream_may_last_longer_than_the_clients_timeout(paced_server: Launch) -> None:
    """`OpenAI(timeout=…)` goes out as `x-stainless-read-timeout`: it bounds the silence, not the answer."""
    with openai.OpenAI(base_url=f"{paced_server.url}/v1", api_key="none", max_retries=0, timeout=0.5) as client:
        stream = client.chat.completions.create(model="echo", messages=HELLO, max_tokens=120, stream=True)
        chunks = list(stream)
    assert chunks[-1].choices[0].finish_reason == "length"
    assert len(chunks) == 122, "a role, 120 tokens, a finish"


def test_a_silence_longer_than_the_clients_timeout_is_broken(serve_echo: Callable[..., Launch]) -> None:
    """Half of what the client bears, where that is less than the server's own 10 s."""
    server = serve_echo("--echo-interval-ms", "1500")
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=1) as client:
        chunks = list(client.chat.completions.create(model="echo", messages=HELLO, max_tokens=2, stream=True))
    assert chunks[-1].choices[0].finish_reason == "length"


def test_a_request_id_comes_back(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="echo", messages=HELLO, max_tokens=1, extra_headers={"X-Request-ID": "mine-1"}
    )
    assert raw.headers["x-request-id"] == "mine-1"
    assert raw.headers["server"] == "penstock"


def test_ignored_fields_are_named(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="echo", messages=HELLO, max_tokens=1, user="alice", extra_body={"not\r\na header": 1}
    )
    warnings = raw.headers["x-penstock-warnings"].split(", ")
    assert "user" in warnings
    assert "not??a?header" in warnings


def test_keys(guarded_server: Launch) -> None:
    url = f"{guarded_server.url}/v1"
    with openai.OpenAI(base_url=url, api_key="wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as refused:
            client.chat.completions.create(model="no such model", messages=HELLO)
        assert refused.value.code == "invalid_api_key"
        assert refused.value.response.headers["www-authenticate"] == "Bearer"
    with openai.OpenAI(base_url=url, api_key="secret", max_retries=0) as client:
        assert client.chat.completions.create(model="echo", messages=HELLO, max_tokens=1).choices


def test_a_hundred_streams_at_once(echo_server: Launch) -> None:
    async def one(client: openai.AsyncOpenAI) -> str:
        stream = await client.chat.completions.create(model="echo", messages=HELLO, max_tokens=40, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async def run() -> list[str]:
        async with async_client(echo_server) as client:
            return await asyncio.gather(*(one(client) for _ in range(100)))

    texts = asyncio.run(run())
    assert len(texts) == 100
    assert len(set(texts)) == 1
    metrics.wait_until_idle(echo_server.url)


def test_leaving_half_way_ends_the_work(paced_server: Launch) -> None:
    before = metrics.read(paced_server.url)

    async def leave(client: openai.AsyncOpenAI, number: int) -> None:
        stream = await client.chat.completions.create(model="echo", messages=HELLO, max_tokens=5000, stream=True)
        async with stream:
            async for _ in stream:
                if (number := number - 1) < 0:
                    break

    async def run() -> None:
        async with async_client(paced_server) as client:
            await asyncio.gather(*(leave(client, number % 7) for number in range(30)))

    asyncio.run(run())
    after = metrics.wait_until_idle(paced_server.url)
    cancelled = "penstock_cancelled_requests_total"
    assert after[cancelled] - before[cancelled] == 30
