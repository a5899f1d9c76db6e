"""The real device under a scheduler whose pages run out: a sequence that lost its slot, once or often, goes on with the
tokens and logprobs that it would have had alone; so does one whose prompt another had computed.

With everything that a row keeps at once: penalties and their counts, min_tokens, bad words, a random stream, logprobs,
a grammar and the budget of a thought before it.
"""

import json
import random
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from penstock._core import GrammarFactory, Vocabulary
from penstock.engine.runner import JaxRunner
from penstock.generation import GenerationRequest, GrammarSpec, Prompt, SamplingParams
from penstock.scheduler.scheduler import Scheduler

EOS, VOCAB = 30, 1280
LETTERS = {chr(ord("a") + token): token for token in range(26)}
MODEL = {"decoder": {"type": "ByteLevel"}, "model": {"type": "BPE", "vocab": LETTERS, "merges": []}}
FACTORY = GrammarFactory(Vocabulary.from_json(json.dumps(MODEL).encode()), num_ids=VOCAB, stop_ids=[EOS])
#: Free text that ends with a "z", at the latest after nine letters; then some of five letters.
THOUGHT = FACTORY.after_thought(FACTORY.compile("regex", "[a-e]{9,30}"), end="z", max_tokens=9)

PENALTIES = {"presence_penalty": 0.7, "frequency_penalty": 0.9, "repetition_penalty": 1.3}
ALL = SamplingParams(
    max_tokens=34, min_tokens=20, temperature=0.9, top_p=0.95, logprobs=2, seed=5, **PENALTIES,
    logit_bias={7: 3.0, 900: 2.0}, bad_word_ids=((3,), (4, 5), (0, 1, 2)),
)  # fmt: skip


@dataclass
class Hub:
    """Keeps tokens, logprobs and ends by row key."""

    tokens: dict[int, list[int]] = field(default_factory=dict)
    logprobs: dict[int, list[float]] = field(default_factory=dict)
    prompt_logprobs: dict[int, list[float]] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    num_cached: dict[int, int] = field(default_factory=dict)

    def mark_scheduled(self, row_key, *, num_cached_tokens=0, **_):
        self.num_cached[row_key] = num_cached_tokens

    def count_preemption(self):
        pass

    def push_step(self, keys, output, **_):
        for columns in output.prompt_columns or ():
            told = self.prompt_logprobs.setdefault(columns.row_key, [])
            assert columns.start == len(told)
            told += columns.sampled.tolist()
        for row, key in enumerate(keys.tolist()):
            assert not (self.ends.get(key) and (output.ids[row] >= 0).any())
            for column, token in enumerate(output.ids[row].tolist()):
                if token >= 0:
                    self.tokens.setdefault(key, []).append(token)
                    if output.logprobs is not None:
                        self.logprobs.setdefault(key, []).append(float(output.logprobs.sampled[row, column]))
            self.ends[key] = self.ends.get(key) or int(output.ends[row])
        return []

    def fail(self, stream_key, kind, message, *, param=None):
        raise AssertionError(message)


class SmallRunner:
    """The same device, of which less is used."""

    def __init__(self, runner: JaxRunner, **capacity) -> None:
        self._runner = runner
        self.capacity = replace(runner.capacity, **capacity)
        self.dispatch, self.reset = runner.dispatch, runner.reset


def requests() -> list[GenerationRequest]:
    rng = random.Random(0)
    shared = [rng.randrange(VOCAB) for _ in range(33)]
    thinking = GrammarSpec(THOUGHT, "response_format")
    asked = [
        (shared, ALL, None),
        (shared[:20], SamplingParams(max_tokens=40, temperature=0.0, logprobs=0), None),
        ([*shared, 1, 2], replace(ALL, n=2, seed=6, max_tokens=38), None),
        (shared[:25], replace(ALL, min_tokens=14), thinking),
        ([9, 8, 7], replace(ALL, temperature=0.0, n=2), thinking),
        (shared[:30], SamplingParams(max_tokens=30, seed=9, prompt_logprobs=1, logprobs=1), None),
    ]
    return [
        GenerationRequest(key << 12, (Prompt.of_ids(ids),), sampling, str(key), grammar=grammar)
        for key, (ids, sampling, grammar) in enumerate(asked, 1)
    ]


def run(runner, wanted: list[GenerationRequest], *, is_rash: bool = False, prefix_caching: bool = False):
    hub = Hub()
    scheduler = Scheduler(runner, hub, stop_ids=(EOS,), prefix_caching=prefix_caching)
    if is_rash:
        scheduler._planner._has_room = lambda _: True
    for request in wanted:
        scheduler.submit(request)
    for _ in range(20_000):
        if scheduler.is_idle:
            return hub, scheduler
        scheduler.step()
        scheduler.check_integrity()
    raise AssertionError("the scheduler never became idle")


@pytest.fixture(scope="module")
def alone(loaded: tuple[JaxRunner, list[str]]) -> Hub:
    """What each request gets that has the device for itself."""
    of_all = Hub()
    for request in requests():
        loaded[0].reset()
        hub, _ = run(SmallRunner(loaded[0], pipeline_depth=1), [request])
        for name in ("tokens", "logprobs", "prompt_logprobs", "ends"):
            getattr(of_all, name).update(getattr(hub, name))
    return of_all


@pytest.mark.parametrize(("depth", "prefix_caching"), [(1, True), (2, True), (2, False)])
def test_whoever_lost_its_pages_goes_on_as_if_it_had_kept_them(runner: JaxRunner, alone: Hub, depth, prefix_caching):
    small = SmallRunner(runner, num_pages=(9,), max_model_len=96, pipeline_depth=depth)
    hub, scheduler = run(small, requests(), is_rash=True, prefix_caching=prefix_caching)
    assert scheduler.num_preemptions > 5
    assert any(hub.num_cached.values()) is prefix_caching
    assert (hub.tokens, hub.ends) == (alone.tokens, alone.ends)
    assert hub.prompt_logprobs.keys() == alone.prompt_logprobs.keys() == {6 << 12}
    for told, wanted in ((hub.logprobs, alone.logprobs), (hub.prompt_logprobs, alone.prompt_logprobs)):
        for key in wanted:
            np.testing.assert_allclose(told[key], wanted[key], atol=1e-3)
