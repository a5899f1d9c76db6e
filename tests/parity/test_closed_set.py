"""Nothing is compiled after ready: a storm of requests of every kind and odd length, over families of every trait."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from fakes import FakeHub

from penstock._core import GrammarFactory, Vocabulary
from penstock.engine.runner import JaxRunner
from penstock.generation import GenerationRequest, GrammarSpec, Prompt, SamplingParams
from penstock.pooling import PooledVectors, Pooling, PoolingConfig
from penstock.scheduler.scheduler import Scheduler

NUM_REQUESTS = 18
#: Between them windows, caps, learned positions, sinks, experts and latent attention.
FAMILIES = ("qwen3", "gemma2", "gpt2", "gpt_oss", "deepseek_v3")
#: Of the tokens 0 to 25, for grammars.
LETTERS = {chr(ord("a") + token): token for token in range(26)}

#: What a request may ask for of the sampler; each may come with any other.
ASKED: list[dict[str, Any]] = [
    {"temperature": 0.0},
    {"temperature": 0.7},
    {"top_k": 7},
    {"top_p": 0.8},
    {"min_p": 0.1},
    {"logprobs": 3},
    {"prompt_logprobs": 2},
    {"presence_penalty": 0.5, "repetition_penalty": 1.2},
    {"logit_bias": {5: 4.0, 9: -100.0}},
    {"allowed_token_ids": (3, 4, 5, 6, 70)},
    {"bad_word_ids": ((5, 6), (9,))},
    {"min_tokens": 1, "stop_token_ids": (4,)},
    {"ignore_eos": True},
    {"n": 3},
]


def grammars(num_ids: int) -> GrammarFactory:
    model = {"type": "BPE", "vocab": LETTERS, "merges": []}
    vocabulary = Vocabulary.from_json(json.dumps({"decoder": {"type": "ByteLevel"}, "model": model}).encode())
    return GrammarFactory(vocabulary, num_ids=num_ids, stop_ids=[30])


def some_request(rng: random.Random, key: int, runner: JaxRunner, factory: GrammarFactory) -> GenerationRequest:
    spec = runner._config.spec
    prompts = [
        [rng.randrange(spec.vocab_size) for _ in range(rng.randint(1, 60))] for _ in range(rng.choice([1, 1, 2]))
    ]
    sampling = SamplingParams(max_tokens=rng.randint(1, 9), seed=key)
    for asked in rng.sample(ASKED, rng.randint(0, 4)):
        sampling = replace(sampling, **asked)
    request = GenerationRequest(key << 12, tuple(map(Prompt.of_ids, prompts)), sampling, str(key))
    kind = rng.random()
    if kind < 0.2:
        request.grammar = GrammarSpec(factory.compile("regex", "[a-f]{1,6}"), "response_format")
        request.sampling = replace(sampling, allowed_token_ids=(), bad_word_ids=(), min_tokens=0, logit_bias={})
    elif kind < 0.35:
        config = PoolingConfig(spec.hidden_size, rng.choice(list(Pooling)))
        request.vectors = PooledVectors([len(each) for each in prompts], config)
        request.sampling = SamplingParams(max_tokens=0, temperature=0.0)
    return request


@pytest.mark.parametrize("name", FAMILIES)
def test_a_storm_compiles_nothing(load_golden: Callable[[str], JaxRunner], name: str) -> None:
    runner, hub, rng = load_golden(name), FakeHub(), random.Random(name)
    runner.reset()
    before = runner.num_compiles_after_ready
    scheduler = Scheduler(runner, hub, stop_ids=(2,))
    factory = grammars(runner._config.spec.vocab_size)
    waiting = [some_request(rng, key, runner, factory) for key in range(1, NUM_REQUESTS + 1)]
    for _ in range(3000):
        for _ in range(rng.choice([0, 0, 1, 2])):
            if waiting:
                scheduler.submit(waiting.pop())
        if not waiting and rng.random() < 0.05:
            scheduler.cancel(rng.randint(1, NUM_REQUESTS) << 12)
        scheduler.step()
        scheduler.check_integrity()
        if not waiting and scheduler.gauges[:2] == (0, 0):
            break
    else:
        raise AssertionError(f"it never came to an end: {scheduler.gauges}")
    assert not hub.failed
    assert runner.num_compiles_after_ready == before
