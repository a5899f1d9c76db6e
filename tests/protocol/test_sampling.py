"""A request's own values win over the model's; an explicit 0 is a value."""

import json
from typing import Any

import pytest

from penstock.generation import SamplingDefaults, SamplingParams
from penstock.protocol import Limits, parse_chat, sampling_params

DEFAULTS = SamplingDefaults(temperature=0.7, top_p=0.8, top_k=20, min_p=0.05, source="generation_config.json")


def sampling(**fields: Any) -> SamplingParams:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **fields}
    return sampling_params(parse_chat(json.dumps(body).encode(), Limits()).request, DEFAULTS)


def test_silence_gives_the_models_defaults_and_a_seed_of_its_own() -> None:
    first, second = sampling(), sampling(temperature=None, n=None, stop=None)
    assert (first.temperature, first.top_p, first.top_k, first.min_p) == (0.7, 0.8, 20, 0.05)
    assert (first.max_tokens, first.n, first.stop, first.stop_token_ids) == (None, 1, (), ())
    assert first.seed != second.seed


def test_a_nucleus_of_nothing_is_the_likeliest_token() -> None:
    params = sampling(top_p=0, top_k=50)
    assert (params.top_p, params.top_k) == (1.0, 1)


def test_a_given_value_wins_even_when_it_is_zero() -> None:
    params = sampling(temperature=0, top_p=1, top_k=0, min_p=0, n=2, stop="x", stop_token_ids=[3], seed=0)
    assert params.is_greedy
    assert (params.top_p, params.top_k, params.min_p, params.n) == (1, 0, 0, 2)
    assert (params.stop, params.stop_token_ids, params.seed) == (("x",), (3,), 0)


def test_top_k_minus_one_is_off() -> None:
    assert sampling(top_k=-1).top_k == 0


@pytest.mark.parametrize("seed", [-(2**63), -1, 2**63 - 1])
def test_any_seed_fits_63_bits_and_repeats(seed: int) -> None:
    assert 0 <= sampling(seed=seed).seed < 2**63
    assert sampling(seed=seed).seed == sampling(seed=seed).seed


def test_either_spelling_limits_new_tokens() -> None:
    assert sampling(max_tokens=5).max_tokens == 5
    assert sampling(max_completion_tokens=6).max_tokens == 6
    assert sampling(max_tokens=7, max_completion_tokens=7).max_tokens == 7
