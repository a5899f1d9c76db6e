"""What is told beside the text, and how the text is cut, as the official client reads it."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from processes import Launch

BODY: dict[str, Any] = {"model": "echo", "prompt": "The river", "max_tokens": 6}
CHAT: dict[str, Any] = {"model": "echo", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 6}


@pytest.fixture(scope="module")
def client(echo_server: Launch) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{echo_server.url}/v1", api_key="none", max_retries=0, timeout=30) as client:
        yield client


def test_ids_are_told_streamed_and_plain(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {**BODY, "extra_body": {"return_token_ids": True}}
    plain: Any = client.completions.create(**asked).choices[0]
    chunks: list[Any] = list(client.completions.create(**asked, stream=True))
    assert [token for chunk in chunks for token in chunk.choices[0].token_ids] == plain.token_ids
    assert chunks[0].choices[0].prompt_token_ids == plain.prompt_token_ids
    assert len(plain.token_ids) == 6
    chat: Any = client.chat.completions.create(**CHAT, extra_body={"return_token_ids": True})
    assert len(chat.choices[0].token_ids) == 6
    assert len(chat.prompt_token_ids) == chat.usage.prompt_tokens


def test_a_prompt_is_echoed_before_each_of_its_answers(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {**BODY, "prompt": ["The river", "A dog"], "n": 2, "echo": True}
    plain = [choice.text for choice in client.completions.create(**asked).choices]
    streamed = [""] * 4
    for chunk in client.completions.create(**asked, stream=True):
        for choice in chunk.choices:
            streamed[choice.index] += choice.text
    assert streamed == plain
    starts = ["The river", "The river", "A dog", "A dog"]
    assert all(text.startswith(start) and len(text) > len(start) for text, start in zip(plain, starts, strict=True))
    (alone,) = client.completions.create(**BODY | {"max_tokens": 0}, echo=True).choices
    assert (alone.text, alone.finish_reason) == ("The river", "length")


def test_the_stop_that_was_met_is_told_and_shown_where_asked(client: openai.OpenAI) -> None:
    text = client.completions.create(**BODY).choices[0].text
    stop = text[3:6]
    cut: Any = client.completions.create(**BODY, stop=stop).choices[0]
    shown: Any = client.completions.create(**BODY, stop=stop, extra_body={"include_stop_str_in_output": True}).choices[
        0
    ]
    end = text.index(stop)
    assert (cut.text, cut.stop_reason) == (text[:end], stop)
    assert (shown.text, shown.stop_reason) == (text[: end + len(stop)], stop)


def test_usage_so_far_is_in_every_event_where_asked(client: openai.OpenAI) -> None:
    options: Any = {"include_usage": True, "continuous_usage_stats": True}
    chunks = list(client.chat.completions.create(**CHAT, stream=True, stream_options=options))
    told = [chunk.usage.completion_tokens for chunk in chunks if chunk.usage]
    assert told == sorted(told)
    assert (told[0], told[-1]) == (1, 6)
    assert len(told) >= len(chunks) - 1  # all but the role's
    assert {chunk.system_fingerprint for chunk in chunks} == {client.chat.completions.create(**CHAT).system_fingerprint}
