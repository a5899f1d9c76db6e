"""A whole engine on two virtual devices: what is sampled, banned, masked and told is what one device gives.

Run by `test_devices.py` in a process that has eight of them. PENSTOCK_TEST_DEVICES puts the tests of `tests/engine` and
`tests/parity` on several devices, too.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from driving import NO_SLOTS, Driver
from golden import golden_folder, read_prompts
from quick import quickly

from penstock.checkpoint import inspect_checkpoint
from penstock.engine import BlockTableChange, EngineOptions, Join, Span, StepPlan, Yields
from penstock.engine.logprobs import LogprobColumns
from penstock.engine.runner import JaxRunner
from penstock.engine.token_rules import token_bits
from penstock.generation import SamplingParams

NAME = "qwen3"
TOLERANCE = 1e-4

SAMPLED = SamplingParams(temperature=0.9, top_k=50, top_p=0.95, min_p=0.01, logprobs=5)
RULED = SamplingParams(
    temperature=1.3, repetition_penalty=1.3, frequency_penalty=0.4, presence_penalty=0.6, min_tokens=5,
    logit_bias={7: 4.0, 9: -100.0}, bad_word_ids=((11,), (12, 13)), logprobs=20, prompt_logprobs=3,
)  # fmt: skip


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("programs")


@pytest.fixture(scope="module")
def load(programs: Path) -> Callable[[int], JaxRunner]:
    def load(num_devices: int) -> JaxRunner:
        options = EngineOptions(
            max_num_seqs=1, max_prefill_tokens=16, max_model_len=256, compile_cache=programs,
            tensor_parallel_size=num_devices,
        )  # fmt: skip
        with quickly():
            return JaxRunner.load(inspect_checkpoint(golden_folder(NAME)), options, on_progress=lambda _: None)

    return load


@pytest.fixture(scope="module")
def one(load: Callable[[int], JaxRunner]) -> JaxRunner:
    return load(1)


@pytest.fixture(scope="module")
def two(load: Callable[[int], JaxRunner]) -> JaxRunner:
    return load(2)


def test_greedy_tokens_are_the_recorded_ones(two: JaxRunner):
    driver = Driver(two)
    for prompt in read_prompts(golden_folder(NAME)):
        lives = [driver.start(prompt.ids, max_new=24, spans=(1, 7, 13))]
        assert driver.finish(lives) == [prompt.greedy]
    assert two.num_compiles_after_ready == 0


@pytest.mark.parametrize("sampling", [SAMPLED, RULED], ids=["filters", "rules"])
def test_seeds_rules_and_logprobs_are_those_of_one_device(one: JaxRunner, two: JaxRunner, sampling: SamplingParams):
    for prompt in read_prompts(golden_folder(NAME)):
        lives = []
        for runner in (one, two):
            driver = Driver(runner)
            lives.append(driver.start(prompt.ids, max_new=20, sampling=sampling, rng_key=(5, 6), stop_ids=(3,)))
            driver.finish(lives[-1:])
        assert lives[0].tokens == lives[1].tokens
        for (first, _), (second, _) in zip(lives[0].outputs, lives[1].outputs, strict=True):
            assert_alike(first.logprobs, second.logprobs)
        for first, second in zip(lives[0].prompt_columns, lives[1].prompt_columns, strict=True):
            assert_alike(first, second)


def test_masks_are_those_of_one_device(one: JaxRunner, two: JaxRunner):
    """As of a grammar: another few tokens may follow at each place."""
    prompt = read_prompts(golden_folder(NAME))[1]
    found = [masked_tokens(runner, prompt.ids) for runner in (one, two)]
    assert found[0] == found[1]
    assert all(token in allowed(number) for number, token in enumerate(found[0]))


def allowed(number: int) -> list[int]:
    return list(range(100 + number, 1280, 37))


def masked_tokens(runner: JaxRunner, ids: np.ndarray) -> list[int]:
    def mask(number: int) -> np.ndarray:
        return token_bits(allowed(number), 1280).view(np.uint32)[None]

    runner.reset()
    slots, tokens = np.zeros(1, np.int32), []
    params = Driver.params(max_new=12)
    pages = BlockTableChange(0, 0, 0, np.arange(1, 4, dtype=np.int32))
    for start in range(0, len(ids), 16):
        part, is_last = ids[start : start + 16], start + 16 >= len(ids)
        span = Span(0, part, start, Yields.TOKEN if is_last else Yields.NOTHING)
        joins, changes = ((), ()) if start else ((Join(0, params),), (pages,))
        output = runner.dispatch(
            StepPlan(joins, (span,), changes, NO_SLOTS, masks=mask(0) if is_last else None)
        ).fetch()
    tokens.append(int(output.ids[0, 0]))
    for number in range(1, 12):
        output = runner.dispatch(StepPlan((), (), (), slots, masks=mask(number))).fetch()
        tokens.append(int(output.ids[0, 0]))
    return tokens


def assert_alike(first: LogprobColumns, second: LogprobColumns) -> None:
    """Neighbours whose logprobs differ by less than rounding may stand the other way round."""
    assert np.sum(first.top_ids != second.top_ids) <= 0.02 * first.top_ids.size
    assert np.all(np.abs(first.ranks - second.ranks) <= 1)
    np.testing.assert_allclose(first.sampled, second.sampled, atol=TOLERANCE)
    np.testing.assert_allclose(first.top, second.top, atol=TOLERANCE)


def test_a_second_start_reads_the_programs_of_its_own_number_of_devices(
    load: Callable[[int], JaxRunner], two: JaxRunner, programs: Path
):
    num_programs, before = len(list(programs.iterdir())), two.num_compiles_after_ready
    second = load(2)
    assert len(list(programs.iterdir())) == num_programs
    assert two.num_compiles_after_ready == before
    prompt = read_prompts(golden_folder(NAME))[0]
    driver = Driver(second)
    assert driver.finish([driver.start(prompt.ids, max_new=24)]) == [prompt.greedy]


def test_each_device_holds_its_part_of_the_cache_alone(two: JaxRunner):
    for cache in two._caches:
        assert len(cache.sharding.device_set) == 2
        assert cache.addressable_shards[0].data.nbytes * 2 == cache.nbytes


def test_caches_are_donated_on_all_devices(two: JaxRunner):
    driver = Driver(two)
    live = driver.start(np.arange(20), max_new=4)
    before = two._caches
    driver.step([live])
    assert all(cache.is_deleted() for cache in before)
