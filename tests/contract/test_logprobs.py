"""Log probabilities over the wire: as evaluation harnesses ask for them, and against a second opinion."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from processes import Launch

sys.path.insert(0, str(Path(__file__).parents[1] / "parity"))

from numpy_reference import Reference

from penstock.demo import model_path

MODEL = "penstock-demo"
#: Longer than the server's longest span, so that its log probabilities come in pieces.
CONTEXT, CONTINUATION = "The river ran through the town and the mill, and", " the water was cold"


@pytest.fixture(scope="module")
def client(jax_server: Launch) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{jax_server.url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(model_path())


def ids_of(client: openai.OpenAI, text: str) -> list[int]:
    answer = client.completions.create(
        model=MODEL, prompt=text, max_tokens=1, extra_body={"return_token_ids": True}
    )  # fmt: skip
    ids: list[int] = answer.choices[0].prompt_token_ids  # type: ignore[attr-defined]
    return ids


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probs: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return log_probs


@pytest.mark.parametrize("max_tokens", [0, 1])
def test_a_harness_scores_a_continuation_as_the_second_opinion_does(
    client: openai.OpenAI, reference: Reference, max_tokens: int
) -> None:
    """What lm-eval's `local-completions` sends and how it reads the answer (loglikelihood of a multiple choice)."""
    ids = ids_of(client, CONTEXT + CONTINUATION)
    num_context = len(ids_of(client, CONTEXT))
    answer = client.completions.create(
        model=MODEL, prompt=[ids], temperature=0, max_tokens=max_tokens, logprobs=1, echo=True, seed=1234
    )
    told = answer.choices[0].logprobs
    assert told is not None
    assert told.token_logprobs is not None
    assert told.top_logprobs is not None
    scores = log_softmax(reference.logits(np.array(ids)))
    expected = [scores[place - 1, ids[place]] for place in range(num_context, len(ids))]
    end = len(ids) if max_tokens == 0 else -1
    np.testing.assert_allclose(told.token_logprobs[num_context:end], expected, atol=1e-4)
    is_greedy = [
        logprob == max(top.values())
        for logprob, top in zip(told.token_logprobs[1:end], told.top_logprobs[1:end], strict=True)
    ]
    assert is_greedy == [int(scores[place - 1].argmax()) == ids[place] for place in range(1, len(ids))]
    assert (told.token_logprobs[0], told.top_logprobs[0]) == (None, None)
    assert len(told.token_logprobs) == len(ids) + max_tokens
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (len(ids), max_tokens)


def test_an_echoed_text_is_the_clients_own(client: openai.OpenAI) -> None:
    texts = [CONTEXT, "  Two spaces,\n\u00e9\u4e16 "]
    body: dict[str, Any] = {"model": MODEL, "prompt": texts, "n": 2, "max_tokens": 3, "temperature": 0, "echo": True}
    answer = client.completions.create(**body, logprobs=0)
    bare = client.completions.create(**body | {"echo": False})
    for index, choice in enumerate(answer.choices):
        assert choice.text == texts[index // 2] + bare.choices[index].text
        assert choice.logprobs is not None
        assert choice.logprobs.tokens is not None
        assert choice.logprobs.text_offset is not None
        for token, offset in zip(choice.logprobs.tokens, choice.logprobs.text_offset, strict=True):
            if not token.startswith(("bytes:", "<")):
                assert choice.text[offset:].startswith(token)


def test_generated_tokens_have_the_log_probabilities_of_the_raw_logits(
    client: openai.OpenAI, reference: Reference
) -> None:
    """Whatever temperature and filters they were drawn with."""
    prompt = ids_of(client, CONTEXT)
    answer = client.completions.create(
        model=MODEL, prompt=prompt, max_tokens=12, temperature=1.3, top_p=0.8, seed=3, logprobs=5,
        presence_penalty=0.5, extra_body={"return_token_ids": True},
    )  # fmt: skip
    (choice,) = answer.choices
    ids: list[int] = choice.token_ids  # type: ignore[attr-defined]
    assert choice.logprobs is not None
    scores = log_softmax(reference.logits(np.array(prompt + ids)))[len(prompt) - 1 : -1]
    np.testing.assert_allclose(choice.logprobs.token_logprobs, scores[range(len(ids)), ids], atol=1e-4)
    likeliest = np.sort(scores, axis=-1)[:, ::-1][:, :5]
    told = [sorted(top.values(), reverse=True)[:5] for top in choice.logprobs.top_logprobs or []]
    np.testing.assert_allclose(told, likeliest, atol=1e-4)


def test_streamed_and_plain_chats_tell_the_same_numbers(client: openai.OpenAI) -> None:
    body: dict[str, Any] = {
        "model": MODEL, "messages": [{"role": "user", "content": "Tell me of the river."}], "max_tokens": 40,
        "temperature": 2.0, "seed": 5, "logprobs": True, "top_logprobs": 3, "stop": ["e", "qu"],
    }  # fmt: skip
    (choice,) = client.chat.completions.create(**body).choices
    told = [chunk.choices[0].logprobs for chunk in client.chat.completions.create(**body, stream=True)]
    streamed = [token for logprobs in told if logprobs for token in logprobs.content or []]
    assert choice.logprobs is not None
    assert streamed == choice.logprobs.content
    assert streamed
    assert all(len(token.top_logprobs) == 3 for token in streamed)


def test_the_best_of_several_is_the_likeliest_of_them(client: openai.OpenAI) -> None:
    body: dict[str, Any] = {
        "model": MODEL, "prompt": [CONTEXT, "A dog"], "max_tokens": 8, "temperature": 1.5, "seed": 11, "logprobs": 0,
    }  # fmt: skip
    all_of_them = client.completions.create(**body, n=4)
    best = client.completions.create(**body, n=1, best_of=4)

    def mean(choice: Any) -> float:
        return float(np.mean(choice.logprobs.token_logprobs))

    for prompt, choice in enumerate(best.choices):
        of_prompt = all_of_them.choices[4 * prompt : 4 * prompt + 4]
        assert choice.text == max(of_prompt, key=mean).text
    assert best.usage is not None
    assert all_of_them.usage is not None
    assert best.usage.completion_tokens == all_of_them.usage.completion_tokens


def test_neighbours_without_logprobs_are_told_none(jax_server: Launch) -> None:
    async def run() -> list[Any]:
        url = f"{jax_server.url}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, timeout=60) as crowd:
            body: dict[str, Any] = {"model": MODEL, "prompt": CONTEXT, "max_tokens": 24, "temperature": 0}
            asked = [crowd.completions.create(**body | ({"logprobs": 1} if i % 2 else {})) for i in range(4)]
            return list(await asyncio.gather(*asked))

    without, has, *others = asyncio.run(run())
    assert without.choices[0].logprobs is None
    assert len(has.choices[0].logprobs.tokens) == 24
    assert {answer.choices[0].text for answer in others} == {has.choices[0].text} == {without.choices[0].text}


def test_a_response_tells_the_log_probabilities_of_a_chat(client: openai.OpenAI) -> None:
    chat = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "Hello"}], temperature=0, max_tokens=8, logprobs=True,
        top_logprobs=2,
    )  # fmt: skip
    asked: Any = {
        "model": MODEL, "input": "Hello", "temperature": 0, "max_output_tokens": 8, "top_logprobs": 2,
        "include": ["message.output_text.logprobs"],
    }  # fmt: skip
    response = client.responses.create(**asked)
    message: Any = response.output[0]
    told = [each.model_dump() for each in message.content[0].logprobs]
    assert chat.choices[0].logprobs is not None
    expected = [each.model_dump() for each in chat.choices[0].logprobs.content or ()]
    assert told == expected[: len(told)], "a token that shows no text is not told"
    assert len(told) >= 7
    assert "".join(each["token"] for each in told) == response.output_text
    events = list(client.responses.create(stream=True, **asked))
    deltas = [event for event in events if event.type == "response.output_text.delta"]
    assert [each.token for event in deltas for each in event.logprobs] == [each["token"] for each in told]
    done: Any = next(event for event in events if event.type == "response.output_text.done")
    assert [each.logprob for each in done.logprobs] == [each["logprob"] for each in told]


def test_the_prompts_own_log_probabilities_are_told_as_vllm_tells_them(client: openai.OpenAI) -> None:
    """The same numbers as an echo's, in a field of their own, and the answer's text stays the answer's."""
    asked: Any = {"model": MODEL, "prompt": CONTEXT, "max_tokens": 2, "temperature": 0}
    plain = client.completions.create(**asked).choices[0]
    echoed = client.completions.create(**asked, echo=True, logprobs=3).choices[0].logprobs
    told: Any = client.completions.create(**asked, logprobs=0, extra_body={"prompt_logprobs": 3}).choices[0]
    ids = ids_of(client, CONTEXT)
    assert (told.text, told.logprobs.text_offset[0]) == (plain.text, 0)
    assert (len(told.prompt_logprobs), told.prompt_logprobs[0]) == (len(ids), None)
    for i in range(1, len(ids)):
        ranked = told.prompt_logprobs[i]
        itself = ranked[str(ids[i])]
        assert itself["logprob"] == echoed.token_logprobs[i]
        assert itself["decoded_token"] == echoed.tokens[i]
        assert sorted(each["rank"] for each in ranked.values() if each["rank"]) == [1, 2, 3]
        assert len(ranked) == (3 if itself["rank"] else 4)
        best = max(ranked.values(), key=lambda each: each["logprob"])
        assert best["rank"] == 1


def test_a_chats_prompt_tells_its_log_probabilities_once(client: openai.OpenAI) -> None:
    asked: Any = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1, "n": 2}
    told: Any = client.chat.completions.create(**asked, extra_body={"prompt_logprobs": 0, "return_token_ids": True})
    assert len(told.prompt_logprobs) == len(told.prompt_token_ids) == told.usage.prompt_tokens
    assert [list(each) for each in told.prompt_logprobs[1:]] == [[str(id_)] for id_ in told.prompt_token_ids[1:]]
    assert told.choices[0].logprobs is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"prompt_logprobs": -1},
        {"prompt_logprobs": 21},
        {"prompt_logprobs": 1, "stream": True},
        {"prompt_logprobs": 1, "echo": True, "logprobs": 2},
    ],
    ids=str,
)
def test_prompt_logprobs_that_are_not_told_are_refused(client: openai.OpenAI, wrong: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/completions", body={"model": MODEL, "prompt": "Hello"} | wrong, cast_to=object)
    assert caught.value.param == "prompt_logprobs"
