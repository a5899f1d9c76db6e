"""The short ways to make sampling parameters give what the constructor gives."""

import copy
import pickle
from dataclasses import asdict, fields, replace
from typing import Any

import pytest

from penstock.generation import SamplingParams

#: For every field a value that is not its default, in each form that a caller may give it.
_GIVEN: list[dict[str, Any]] = [
    {},
    {"seed": 3, "max_tokens": None, "temperature": None, "stop": None, "n": None},
    {"seed": 3, "max_tokens": 0, "temperature": 0.0, "top_k": 0, "min_tokens": 0, "ignore_eos": False},
    {"seed": 3, "stop": "one", "stop_token_ids": 7, "bad_words": ["a", "b"], "allowed_token_ids": [1, 2]},
    {"seed": 3, "stop": ["one", "two"], "stop_token_ids": [7, 8], "logit_bias": {5: 1.0}, "extra": {"top_a": 0.1}},
]


@pytest.mark.parametrize("given", _GIVEN)
def test_of_is_the_constructor(given: dict[str, Any]) -> None:
    built = SamplingParams(**given)
    made = SamplingParams.of(given)
    assert {**asdict(made), "seed": built.seed} == asdict(built)
    if given:
        assert made == built
        assert hash(made) == hash(built)
        assert repr(made) == repr(built)
        assert pickle.loads(pickle.dumps(made)) == copy.deepcopy(made) == replace(made) == built


def test_of_takes_every_field() -> None:
    given = {field.name: getattr(SamplingParams(seed=1), field.name) for field in fields(SamplingParams)}
    assert SamplingParams.of(given) == SamplingParams(**given)


def test_nothing_is_shared_between_parameters() -> None:
    first, second = SamplingParams.of({}), SamplingParams.of({})
    assert first.seed != second.seed
    assert first.extra is not second.extra
    assert first.logit_bias is not second.logit_bias


def test_a_limit_of_its_own_leaves_the_rest_and_the_original() -> None:
    params = SamplingParams.of({"max_tokens": 9, "temperature": 0.5, "stop": ["x"]})
    assert params.with_max_tokens(3) == replace(params, max_tokens=3)
    assert params.max_tokens == 9
