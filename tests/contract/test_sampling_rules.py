"""Penalties, bias and bans as clients send them, on the real engine; and refused where the engine has none."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from processes import Launch
from tokenizers import Tokenizer

from penstock.demo import model_path

MODEL = "penstock-demo"
BODY: dict[str, Any] = {"model": MODEL, "prompt": "The river", "max_tokens": 40, "temperature": 0}


@pytest.fixture(scope="module")
def client(jax_server: Launch) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{jax_server.url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


def complete(client: openai.OpenAI, *, extra: dict[str, Any] | None = None, **body: Any) -> tuple[str, list[int]]:
    """Text and token ids of one choice."""
    extra_body = {"return_token_ids": True} | (extra or {})
    (choice,) = client.completions.create(**BODY | body, extra_body=extra_body).choices
    ids: list[int] = choice.token_ids  # type: ignore[attr-defined]
    return choice.text, ids


def test_a_bias_of_100_makes_a_token_and_of_minus_100_none(client: openai.OpenAI) -> None:
    _, plain = complete(client)
    assert complete(client, logit_bias={"7": 100}, max_tokens=5)[1] == [7] * 5
    _, banned = complete(client, logit_bias={str(plain[0]): -100})
    assert banned[0] != plain[0]
    assert plain[0] not in banned


def test_no_other_tokens_than_the_allowed_are_made(client: openai.OpenAI) -> None:
    allowed = [5, 9, 300, 301]
    _, ids = complete(client, temperature=1.5, extra={"allowed_token_ids": allowed, "ignore_eos": True})
    assert set(ids) <= set(allowed)
    assert len(set(ids)) > 1


def test_the_tokens_of_a_bad_word_are_not_made_in_a_row(client: openai.OpenAI) -> None:
    """Its own tokens, that is: a model may still spell it by others, letter by letter."""
    tokenizer = Tokenizer.from_file(str(model_path() / "tokenizer.json"))
    text, plain = complete(client)
    words = [word for word in dict.fromkeys(text.split()) if word.isalpha()][:4]
    forms = [tokenizer.encode(prefix + word, add_special_tokens=False).ids for word in words for prefix in ("", " ")]
    _, changed = complete(client, extra={"bad_words": words})

    def num_found(ids: list[int]) -> int:
        return sum(ids[start : start + len(form)] == form for form in forms for start in range(len(ids)))

    assert num_found(plain) >= len(words) > 0
    assert num_found(changed) == 0


def test_penalties_take_repetitions_away(client: openai.OpenAI) -> None:
    body: dict[str, Any] = {"max_tokens": 60, "extra": {"ignore_eos": True, "allowed_token_ids": list(range(3, 200))}}
    _, plain = complete(client, **body)
    repeated = len(plain) - len(set(plain))
    assert repeated > 5
    for penalty in ({"presence_penalty": 2.0}, {"frequency_penalty": 2.0}):
        _, ids = complete(client, **body, **penalty)
        assert len(ids) - len(set(ids)) < repeated
    body["extra"] |= {"repetition_penalty": 5.0}
    _, ids = complete(client, **body)
    assert len(ids) - len(set(ids)) < repeated


@pytest.mark.parametrize(
    ("extra", "param"),
    [
        ({"logit_bias": {"99999999": 1}}, "logit_bias"),
        ({"allowed_token_ids": [99999999]}, "allowed_token_ids"),
        ({"bad_words": [" "]}, "bad_words"),
        ({"bad_words": ["z q x j " * 20]}, "bad_words"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
    ],
)
def test_what_the_model_or_a_slot_has_no_place_for_is_refused(
    client: openai.OpenAI, extra: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        complete(client, extra=extra)
    assert caught.value.param == param


@pytest.mark.parametrize("field", [{"presence_penalty": 1}, {"logit_bias": {"5": 1}}, {"bad_words": ["x"]}])
def test_an_engine_without_rules_refuses_them_by_name(echo_server: Launch, field: dict[str, Any]) -> None:
    with openai.OpenAI(base_url=f"{echo_server.url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        (model,) = client.models.list()
        with pytest.raises(openai.BadRequestError) as caught:
            client.completions.create(model=model.id, prompt="x", max_tokens=1, extra_body=field)
        assert caught.value.param in field
