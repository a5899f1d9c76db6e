"""The official client on the real engine: fields that bend what is sampled, and log-probabilities.

Judges: what the same model says without the field, and the sums of the probabilities that it tells.
"""

import math
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from processes import Launch

RIVER = "The river"
GREEDY: dict[str, Any] = {"model": "penstock-demo", "prompt": RIVER, "max_tokens": 12, "temperature": 0}
SEEDED: dict[str, Any] = GREEDY | {"temperature": 1.0, "seed": 7}
CHAT: dict[str, Any] = {
    "model": "penstock-demo", "messages": [{"role": "user", "content": "Tell me of a river."}], "max_tokens": 12,
    "temperature": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def client(jax_server: Launch) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{jax_server.url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


def choice_of(client: openai.OpenAI, body: dict[str, Any], **fields: Any) -> Any:
    names = {"logprobs", "echo", "best_of", "n", "max_tokens", "logit_bias", "presence_penalty", "frequency_penalty"}
    own = {name: value for name, value in fields.items() if name in names}
    extra = {name: value for name, value in fields.items() if name not in names}
    return client.completions.create(**body | own, extra_body=extra).choices[0]


def test_logprobs_of_a_completion(client: openai.OpenAI) -> None:
    choice = choice_of(client, GREEDY, logprobs=3)
    told = choice.logprobs
    assert "".join(told.tokens) == choice.text
    assert len(told.tokens) == len(told.token_logprobs) == len(told.top_logprobs) == len(told.text_offset) == 12
    for token, logprob, top in zip(told.tokens, told.token_logprobs, told.top_logprobs, strict=True):
        assert logprob == max(top.values()) == top[token], "greedy takes the likeliest"
        assert sum(map(math.exp, top.values())) <= 1 + 1e-5
    assert choice.text == choice_of(client, GREEDY).text


def test_streamed_logprobs_are_the_plain_ones(client: openai.OpenAI) -> None:
    plain = client.chat.completions.create(**CHAT, logprobs=True, top_logprobs=2).choices[0]
    assert plain.logprobs is not None
    assert plain.logprobs.content is not None
    assert "".join(token.token for token in plain.logprobs.content) == plain.message.content
    assert all(len(token.top_logprobs) == 2 for token in plain.logprobs.content)
    with client.chat.completions.stream(**CHAT, logprobs=True, top_logprobs=2) as stream:
        with pytest.raises(openai.LengthFinishReasonError) as caught:
            stream.get_final_completion()
        streamed = caught.value.completion.choices[0]
    assert streamed.logprobs is not None
    assert streamed.logprobs.model_dump() == plain.logprobs.model_dump()


@pytest.mark.parametrize("max_tokens", [0, 1])
def test_the_prompts_logprobs_as_evaluations_ask_for_them(client: openai.OpenAI, max_tokens: int) -> None:
    """lm-eval's loglikelihood: `echo`, `logprobs` and no more tokens than it must take."""
    choice = choice_of(client, GREEDY, echo=True, logprobs=1, max_tokens=max_tokens)
    told = choice.logprobs
    assert choice.text.startswith(RIVER)
    assert "".join(told.tokens) == choice.text
    assert told.token_logprobs[0] is None
    assert all(logprob <= 0 for logprob in told.token_logprobs[1:])
    longer = choice_of(client, GREEDY | {"prompt": choice.text}, echo=True, logprobs=1, max_tokens=0).logprobs
    assert longer.tokens == told.tokens
    assert longer.token_logprobs[1:] == pytest.approx(told.token_logprobs[1:], abs=1e-4)


def test_a_bias_forces_a_token_and_forbids_it(client: openai.OpenAI) -> None:
    (first,) = choice_of(client, GREEDY | {"max_tokens": 1}, return_token_ids=True).token_ids
    assert choice_of(client, GREEDY, logit_bias={"100": 100}, return_token_ids=True).token_ids == [100] * 12
    assert first not in choice_of(client, GREEDY, logit_bias={str(first): -100}, return_token_ids=True).token_ids


def test_only_allowed_tokens_are_drawn(client: openai.OpenAI) -> None:
    ids = choice_of(client, SEEDED, allowed_token_ids=[100, 101, 102], return_token_ids=True).token_ids
    assert len(ids) == 12
    assert set(ids) <= {100, 101, 102}


def test_a_bad_word_is_not_written(client: openai.OpenAI) -> None:
    text = choice_of(client, GREEDY).text
    word = text.split()[0]
    assert word not in choice_of(client, GREEDY, bad_words=[word]).text.split()


def test_penalties_change_what_repeats(client: openai.OpenAI) -> None:
    repeated = choice_of(client, GREEDY, logit_bias={"100": 20, "101": 19, "102": 18}, frequency_penalty=2,
                         return_token_ids=True).token_ids  # fmt: skip
    assert {100, 101, 102} <= set(repeated)
    plain = choice_of(client, GREEDY | {"max_tokens": 40}, return_token_ids=True).token_ids
    once = choice_of(client, GREEDY | {"max_tokens": 40}, repetition_penalty=50, return_token_ids=True).token_ids
    assert len(set(once)) >= len(set(plain))
    assert len(set(once)) == len(once), "nothing is worth a fiftieth"


def test_the_best_of_several_is_the_likeliest(client: openai.OpenAI) -> None:
    several = client.completions.create(**SEEDED, n=4, logprobs=0).choices
    means = [sum(each.logprobs.token_logprobs) / len(each.logprobs.token_logprobs) for each in several]  # type: ignore[union-attr, arg-type]
    best = max(range(4), key=means.__getitem__)
    chosen = client.completions.create(**SEEDED, best_of=4)
    assert [choice.text for choice in chosen.choices] == [several[best].text]
    assert chosen.usage is not None
    assert chosen.usage.completion_tokens == 48


def test_ids_that_the_model_has_not_are_refused_by_name(client: openai.OpenAI) -> None:
    for name, value in {"logit_bias": {"5000000": 1}, "allowed_token_ids": [5_000_000]}.items():
        with pytest.raises(openai.BadRequestError) as caught:
            client.completions.create(**GREEDY, extra_body={name: value})
        assert caught.value.param == name
