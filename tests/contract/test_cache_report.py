"""The prefix cache as clients see it on the real engine: in usage, with a reason on request, and never across salts."""

from collections.abc import Iterator
from typing import Any

import metrics
import openai
import pytest
from processes import Launch

MODEL, PAGE = "penstock-demo", 16  # tokens of a page on a CPU


@pytest.fixture(scope="module")
def client(jax_server: Launch) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{jax_server.url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


def tokens(seed: int, num: int = 2 * PAGE + 1) -> list[int]:
    """A prompt that no other test has."""
    return [5 + seed, *((seed * 31 + place * 7) % 200 + 5 for place in range(1, num))]


def ask(client: openai.OpenAI, prompt: list[int], **fields: Any) -> tuple[int, dict[str, Any]]:
    """Cached tokens of usage, and the report."""
    answer = client.completions.create(
        model=MODEL, prompt=prompt, max_tokens=1, temperature=0, extra_body={"return_cache_report": True, **fields}
    )
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    (report,) = answer.penstock["cache"]  # type: ignore[attr-defined]
    return answer.usage.prompt_tokens_details.cached_tokens or 0, report


def test_what_was_cached_is_told_with_the_reason(client: openai.OpenAI) -> None:
    prompt = tokens(1)
    assert ask(client, prompt) == (0, {"cached_tokens": 0, "reason": "new", "left_at_token": 0})
    whole = {"cached_tokens": 2 * PAGE, "reason": "whole", "left_at_token": None}
    assert ask(client, prompt) == (2 * PAGE, whole)
    drifted = [*prompt[: PAGE + 3], 4, *prompt[PAGE + 4 :]]
    assert ask(client, drifted) == (PAGE, {"cached_tokens": PAGE, "reason": "differs", "left_at_token": PAGE})


def test_two_salts_never_share_and_one_shares_with_itself(client: openai.OpenAI) -> None:
    prompt = tokens(2)
    asked = [ask(client, prompt, **({"cache_salt": salt} if salt else {})) for salt in ("", "a", "b", "a", "")]
    assert [cached for cached, _ in asked] == [0, 0, 0, 2 * PAGE, 2 * PAGE]
    assert [report["reason"] for _, report in asked] == ["new", "salt", "salt", "whole", "whole"]


def test_a_stream_tells_it_in_its_last_event_and_a_chat_finds_its_history(client: openai.OpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": "Tell me about the river and the hills behind the town."}]
    told = []
    for _ in range(2):
        events = list(
            client.chat.completions.create(
                model=MODEL, messages=messages, max_tokens=20, temperature=0, stream=True,
                extra_body={"return_cache_report": True},
            )
        )  # fmt: skip
        told.append(events[-1].penstock["cache"][0])  # type: ignore[attr-defined]
        assert (events[-1].choices, events[-1].usage) == ([], None)
        answer = "".join(event.choices[0].delta.content or "" for event in events[:-1])
        messages += [{"role": "assistant", "content": answer}, {"role": "user", "content": "And then?"}]
    first, second = (report["cached_tokens"] for report in told)
    assert first == 0
    assert second >= PAGE


def test_queries_and_hits_are_counted_in_tokens(client: openai.OpenAI, jax_server: Launch) -> None:
    before, prompt = metrics.read(jax_server.url), tokens(3)
    for _ in range(2):
        ask(client, prompt)
    after = metrics.read(jax_server.url)
    counted = [
        after[name] - before[name] for name in ("vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total")
    ]
    assert counted == [2 * len(prompt), 2 * PAGE]
