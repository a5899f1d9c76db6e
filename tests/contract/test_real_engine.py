"""The official client on the real engine: what is sampled is the same alone, in a crowd, streamed and plain."""

import asyncio
from collections.abc import Iterator
from typing import Any

import metrics
import openai
import pytest
from processes import Launch

MODEL, RIVER = "penstock-demo", "The river"
GREEDY: dict[str, Any] = {"model": MODEL, "prompt": RIVER, "max_tokens": 60, "temperature": 0}
SEEDED: dict[str, Any] = GREEDY | {"temperature": 1.0, "seed": 7}


@pytest.fixture(scope="module")
def client(jax_server: Launch) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{jax_server.url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


def plain(client: openai.OpenAI, **body: Any) -> list[str]:
    return [choice.text for choice in client.completions.create(**body).choices]


def streamed(client: openai.OpenAI, **body: Any) -> list[str]:
    texts: dict[int, str] = {}
    for chunk in client.completions.create(**body, stream=True):
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + choice.text
    return [texts[index] for index in sorted(texts)]


@pytest.mark.parametrize(
    "body",
    [GREEDY, SEEDED, SEEDED | {"n": 3}, SEEDED | {"prompt": [RIVER, "A dog"], "n": 2},
     SEEDED | {"prompt": [[5, 6, 7], [8]]}, GREEDY | {"max_tokens": 1}, GREEDY | {"max_tokens": 0}],
    ids=["greedy", "seeded", "choices", "texts", "ids", "one token", "no token"],
)  # fmt: skip
def test_a_stream_joined_is_the_plain_answer(client: openai.OpenAI, body: dict[str, Any]) -> None:
    assert streamed(client, **body) == plain(client, **body)


@pytest.mark.parametrize("seed", range(6))
def test_bytes_at_random_are_streamed_as_whole_characters(client: openai.OpenAI, seed: int) -> None:
    """At this temperature tokens split characters all the time."""
    body = SEEDED | {"temperature": 2.0, "max_tokens": 150, "seed": seed, "extra_body": {"min_p": 0.0, "top_k": 0}}
    assert streamed(client, **body) == plain(client, **body)


def test_choices_differ_and_the_first_is_what_one_choice_gives(client: openai.OpenAI) -> None:
    (alone,) = plain(client, **SEEDED)
    first, *others = plain(client, **SEEDED, n=3)
    assert first == alone
    assert len({first, *others}) == 3
    assert plain(client, **SEEDED | {"prompt": [RIVER, "A dog"]}, n=2)[:2] == [first, others[0]]


def test_a_crowd_changes_nothing(jax_server: Launch, client: openai.OpenAI) -> None:
    bodies = [
        GREEDY,
        SEEDED,
        SEEDED | {"seed": 8, "temperature": 1.4, "top_p": 0.9},
        GREEDY | {"prompt": f"{RIVER} {RIVER} " * 9},
    ]
    alone = [plain(client, **body) for body in bodies]

    async def one(crowd: openai.AsyncOpenAI, body: dict[str, Any], *, stream: bool) -> list[str]:
        answer = await crowd.completions.create(**body, stream=stream)
        if stream:
            return ["".join([chunk.choices[0].text async for chunk in answer])]
        return [answer.choices[0].text]

    async def run() -> list[list[str]]:
        url = f"{jax_server.url}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, timeout=60) as crowd:
            return await asyncio.gather(*(one(crowd, bodies[i % 4], stream=i % 3 == 0) for i in range(100)))

    before = metrics.wait_until_idle(jax_server.url)
    assert asyncio.run(run()) == alone * 25
    after = metrics.wait_until_idle(jax_server.url)
    assert after["penstock_pages_in_use"] == after["penstock_compiles_after_ready_total"] == 0
    for name in ("vllm:request_success_total", "vllm:time_to_first_token_seconds_count",
                 "vllm:e2e_request_latency_seconds_count", "vllm:request_prompt_tokens_count"):  # fmt: skip
        assert after[name] - before[name] == 100, name


def test_stop_strings_end_in_the_middle_of_tokens(client: openai.OpenAI) -> None:
    (text,) = plain(client, **GREEDY)
    for start in range(3, 40, 6):
        stop = text[start : start + 5]
        body = GREEDY | {"stop": [stop, "never seen"]}
        expected = [text[: text.index(stop)]]
        assert plain(client, **body) == expected
        assert streamed(client, **body) == expected
