"""Steps on the device: ends, several tokens per dispatch, cancel by leaving out, nothing compiled later."""

from dataclasses import replace
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from driving import NO_SLOTS, Driver
from fakes import FakeHub
from golden import NUM_DEVICES, golden_folder, read_prompts

from penstock.engine import BlockTableChange, Join, PooledColumns, Span, StepOutput, StepPlan, Yields
from penstock.engine.interface import END_ERROR, END_LENGTH, END_STOP
from penstock.engine.row_parameters import NEUTRAL_ROW
from penstock.engine.runner import JaxRunner
from penstock.generation import GenerationRequest, Prompt, SamplingParams
from penstock.scheduler.scheduler import Scheduler

SAMPLED = SamplingParams(temperature=1.1, top_k=80, top_p=0.9)


def decode(runner: JaxRunner, slots: list[int] | np.ndarray, *, tokens: int = 1) -> StepOutput:
    return runner.dispatch(StepPlan((), (), (), np.asarray(slots, np.int32), tokens)).fetch()


@pytest.fixture(scope="module")
def prompts():
    return read_prompts(golden_folder("qwen3"))


def test_a_length_ends_the_row_on_its_last_token(runner: JaxRunner, prompts):
    live = Driver(runner).start(prompts[0].ids, max_new=1)
    assert (live.tokens, live.end) == (prompts[0].greedy[:1], END_LENGTH)


def test_a_stop_id_ends_the_row_and_is_its_last_token(runner: JaxRunner, prompts):
    driver = Driver(runner)
    stop = prompts[1].greedy[5]
    live = driver.start(prompts[1].ids, max_new=24, stop_ids=(1270, stop))
    driver.finish([live])
    assert live.tokens == prompts[1].greedy[: prompts[1].greedy.index(stop) + 1]
    assert live.end == END_STOP


@pytest.mark.parametrize("tokens", [1, 4])
def test_an_ended_row_stays_silent_beside_a_live_one(runner: JaxRunner, prompts, tokens: int):
    driver = Driver(runner)
    short = driver.start(prompts[0].ids, max_new=3)
    long = driver.start(prompts[1].ids, max_new=24)
    while long.end == 0:
        driver.step([short, long], tokens=tokens)
    assert short.tokens == prompts[0].greedy[:3]
    assert long.tokens == prompts[1].greedy


def test_several_tokens_per_dispatch_are_the_same_tokens(runner: JaxRunner, prompts):
    driver = Driver(runner)
    lives = [driver.start(prompt.ids, max_new=24) for prompt in prompts]
    assert driver.finish(lives, tokens=4) == [prompt.greedy for prompt in prompts]


def test_on_cpu_in_float32_a_seeded_row_samples_alike_in_any_batch_slot_span_and_dispatch(runner: JaxRunner, prompts):
    def tokens_of(*, num_others: int, spans: tuple[int, ...], tokens: int, slot: int) -> list[int]:
        driver = Driver(runner, seed=num_others)
        live = driver.start(prompts[2].ids, max_new=24, sampling=SAMPLED, rng_key=(3, 4), spans=spans, slot=slot)
        others = [
            driver.start(prompts[0].ids, max_new=100, sampling=SamplingParams(temperature=0.7))
            for _ in range(num_others)
        ]
        while live.end == 0:
            driver.step([*others, live], tokens=tokens)
        return live.tokens

    alone = tokens_of(num_others=0, spans=(), tokens=1, slot=0)
    assert len(set(alone)) > 10
    assert tokens_of(num_others=1, spans=(5, 9), tokens=1, slot=3) == alone
    assert tokens_of(num_others=4, spans=(16,), tokens=4, slot=5) == alone


def test_another_key_gives_other_tokens(runner: JaxRunner, prompts):
    driver = Driver(runner)
    lives = [
        driver.start(prompts[2].ids, max_new=16, sampling=SamplingParams(), rng_key=(3, word), slot=word)
        for word in range(3)
    ]
    assert len({tuple(tokens) for tokens in driver.finish(lives)}) == 3


def test_a_result_may_be_fetched_after_later_steps_were_dispatched(runner: JaxRunner, prompts):
    live = Driver(runner).start(prompts[0].ids, max_new=24)
    slots = np.array([live.slot], np.int32)
    steps = [runner.dispatch(StepPlan((), (), (), slots)) for _ in range(23)]
    assert live.tokens + [int(step.fetch().ids[0, 0]) for step in steps] == prompts[0].greedy
    assert steps[-1].fetch().ends.tolist() == [END_LENGTH]
    output = decode(runner, slots)
    assert (output.ids.tolist(), output.ends.tolist()) == ([[-1]], [0])


def test_reset_forgets_every_slot(runner: JaxRunner, prompts):
    live = Driver(runner).start(prompts[0].ids, max_new=24)
    runner.reset()
    output = decode(runner, [live.slot])
    assert (output.ids.tolist(), output.ends.tolist()) == ([[-1]], [0])
    again = Driver(runner)
    assert again.finish([again.start(prompts[0].ids, max_new=24)]) == [prompts[0].greedy]


def test_a_span_that_yields_nothing_gives_no_row_and_disturbs_none(runner: JaxRunner, prompts):
    driver = Driver(runner)
    live = driver.start(prompts[1].ids, max_new=24)
    span = Span(5, np.arange(9, 25, dtype=np.int32), 0, Yields.NOTHING)
    table = BlockTableChange(5, 0, 0, np.array([90, 91], np.int32))
    output = runner.dispatch(StepPlan((Join(5, NEUTRAL_ROW),), (span,), (table,), NO_SLOTS)).fetch()
    assert (output.ids.shape, output.ends.shape) == ((0, 1), (0,))
    assert decode(runner, [5]).ids.tolist() == [[-1]]
    driver.free_pages = [page for page in driver.free_pages if page not in (90, 91)]
    assert driver.finish([live]) == [prompts[1].greedy]


def test_a_span_beside_rows_that_decode_changes_nobodys_tokens(runner: JaxRunner, prompts):
    driver = Driver(runner)
    first = driver.start(prompts[0].ids, max_new=24, slot=4)
    second = driver.start(prompts[1].ids, max_new=24, spans=[5, 1, 3], slot=2, beside=[first])
    third = driver.start(prompts[2].ids, max_new=24, spans=[32, 1], slot=0, beside=[second, first])
    assert driver.finish([third, first, second]) == [prompts[index].greedy for index in (2, 0, 1)]


def test_spans_and_decode_of_one_plan_give_rows_in_its_order(runner: JaxRunner, prompts):
    """A newcomer's first token, then an older row's next four and the newcomer's."""
    driver = Driver(runner)
    old = driver.start(prompts[0].ids, max_new=24)
    ids, slot = np.asarray(prompts[1].ids[:32], np.int32), 3
    params = Driver.params(max_new=24)
    table = BlockTableChange(slot, 0, 0, np.array([driver.free_pages.pop() for _ in range(4)], np.int32))
    span = Span(slot, ids, 0, Yields.TOKEN)
    slots = np.array([old.slot, slot], np.int32)
    output = runner.dispatch(StepPlan((Join(slot, params),), (span,), (table,), slots, 4)).fetch()
    alone = Driver(runner).start(ids, max_new=24, slot=1)
    Driver(runner).step([alone], tokens=4)
    assert output.ids[0].tolist() == [alone.tokens[0], -1, -1, -1]
    assert output.ids[1].tolist() == prompts[0].greedy[1:5]
    assert output.ids[2].tolist() == alone.tokens[1:]
    assert output.ends.tolist() == [0, 0, 0]


@pytest.mark.parametrize("tokens", [1, 4])
def test_a_row_that_gets_its_pages_one_by_one_makes_the_recorded_tokens(runner: JaxRunner, prompts, tokens: int):
    driver = Driver(runner)
    for prompt in prompts:
        live = driver.start(prompt.ids, max_new=24, spans=(5, 9), pages_at_once=False)
        assert live.num_pages < len(live.pages)
        assert driver.finish([live], tokens=tokens) == [prompt.greedy]
        assert live.num_pages == len(live.pages)


def test_no_tokens_are_a_prompt_that_ends_by_length(runner: JaxRunner, prompts):
    driver = Driver(runner)
    live = driver.start(prompts[0].ids, max_new=0, stop_ids=tuple(prompts[0].greedy[:1]))
    assert (live.tokens, live.end) == ([], END_LENGTH)
    assert decode(runner, [live.slot]).ids.tolist() == [[-1]]


@pytest.mark.parametrize("tokens", [1, 4])
def test_min_tokens_bans_stop_tokens_until_they_are_made(runner: JaxRunner, prompts, tokens: int):
    """Judged by the recorded tokens: the first stop token that greedy decoding meets is passed over, to begin with."""
    greedy, stop = prompts[1].greedy, prompts[1].greedy[5]
    driver = Driver(runner)
    plain = driver.start(prompts[1].ids, max_new=24, stop_ids=(stop,))
    held = driver.start(
        prompts[1].ids, max_new=24, stop_ids=(stop,), sampling=SamplingParams(temperature=0.0, min_tokens=12)
    )
    driver.finish([plain, held], tokens=tokens)
    first = greedy.index(stop)
    assert plain.tokens == greedy[: first + 1]
    assert held.tokens[:first] == greedy[:first]
    assert stop not in held.tokens[:12]
    assert len(held.tokens) > 12
    assert held.end == END_LENGTH or held.tokens[-1] == stop


@pytest.mark.parametrize("tokens", [1, 4])
def test_logits_that_are_not_numbers_end_their_row_alone_and_leave_nothing_in_its_pages(
    runner: JaxRunner, prompts, tokens: int
):
    driver = Driver(runner)
    good, bad = (driver.start(prompt.ids, max_new=24) for prompt in prompts[:2])
    cache = np.array(runner._caches[0])
    cache[bad.pages] = cache[0] = np.nan
    runner._caches = (jax.device_put(cache, runner._caches[0].sharding), *runner._caches[1:])
    driver.step([good, bad], tokens=tokens)
    assert (bad.tokens, bad.end) == (prompts[1].greedy[:1], END_ERROR)
    driver.step([good, bad], tokens=tokens)  # as a pipeline does that has not learnt it yet
    assert len(bad.tokens) == 1
    driver.drop(bad)
    heir = driver.start(prompts[1].ids, max_new=24)
    assert set(heir.pages) == set(bad.pages)
    assert driver.finish([good, heir], tokens=tokens) == [prompts[0].greedy, prompts[1].greedy]


def test_a_prompt_whose_logits_are_not_numbers_gets_no_token(runner: JaxRunner, prompts):
    driver = Driver(runner)
    ids = np.asarray(prompts[0].ids[:8], np.int32)
    live = driver.start(ids, max_new=4)
    cache = np.array(runner._caches[0])
    cache[live.pages] = np.nan
    runner._caches = (jax.device_put(cache, runner._caches[0].sharding), *runner._caches[1:])
    output = runner.dispatch(StepPlan((), (Span(live.slot, ids[-1:], 8, Yields.TOKEN),), (), NO_SLOTS)).fetch()
    assert (output.ids.tolist(), output.ends.tolist()) == ([[-1]], [END_ERROR])


def test_pooled_states_of_spans_add_up_to_those_of_the_whole(runner: JaxRunner):
    """In any spans, beside a row that decodes, and of a bucket's real tokens alone."""
    ids = np.array([5, 9, 23, 7, 40, 41, 2, 11, 3], np.int32)

    def pooled(slot: int, first_page: int, cuts: list[int]) -> list[PooledColumns]:
        columns: list[PooledColumns] = []
        for start, end in pairwise([0, *cuts, len(ids)]):
            joins = (Join(slot, NEUTRAL_ROW),) if start == 0 else ()
            tables = (BlockTableChange(slot, 0, 0, np.array([first_page], np.int32)),) if start == 0 else ()
            span = Span(slot, ids[start:end], start, Yields.POOLED, row_key=7)
            output = runner.dispatch(StepPlan(joins, (span,), tables, NO_SLOTS)).fetch()
            assert output.pooled is not None
            assert len(output.ids) == 0
            columns += output.pooled
        return columns

    (whole,) = pooled(0, 1, [])
    parts = pooled(1, 2, [4, 5])
    assert [(part.row_key, part.start, part.num_tokens) for part in parts] == [(7, 0, 4), (7, 4, 1), (7, 5, 4)]
    np.testing.assert_allclose(parts[0].states[0], whole.states[0], rtol=0, atol=2e-5)
    np.testing.assert_allclose(parts[-1].states[1], whole.states[1], rtol=0, atol=2e-5)
    np.testing.assert_allclose(sum(part.states[2] for part in parts), whole.states[2], rtol=0, atol=2e-4)


def test_progress_counts_the_programs(loaded: tuple[JaxRunner, list[str]]):
    _, progress = loaded
    assert progress[0] == "loading weights"
    # An empty state; rules; spans of 32; a block of scores; 1 and 6 rows by 1 and 4 tokens, and beside a span.
    assert progress[-1] == "compiled 13/13"


def test_compiles_after_ready_are_counted(loaded: tuple[JaxRunner, list[str]]):
    runner, _ = loaded
    before = runner.num_compiles_after_ready
    jnp.arange(12345).sum().block_until_ready()
    assert runner.num_compiles_after_ready > before


@pytest.mark.skipif(NUM_DEVICES > 1, reason="reads the program of one device; tests/devices has its own")
def test_every_cache_is_donated_and_none_is_copied(loaded: tuple[JaxRunner, list[str]]):
    runner, _ = loaded
    cache_bytes = sum(cache.nbytes for cache in runner._caches)
    pool = "f32[" + ",".join(map(str, runner._caches[0].shape)) + "]"
    for key, compiled in runner._programs.items():
        if key.kind not in {"prefill", "decode"}:
            continue
        assert compiled.memory_analysis().alias_size_in_bytes >= cache_bytes, key
        text = compiled.as_text()
        assert f"= {pool}" in text, key
        assert [line for line in text.splitlines() if "copy(" in line and f"= {pool}" in line] == [], key


@pytest.mark.parametrize("kind", ["prefill", "head", "sample", "rules", "score", "decode"])
def test_a_program_without_memory_fails_its_own_requests_alone(runner: JaxRunner, prompts, kind: str, monkeypatch):
    """It takes its donated arrays with it, as a device that runs out of memory in the midst of a step does."""
    programs = dict(runner._programs)
    num_failures = 0

    def fail(program):
        def run(*arguments):
            nonlocal num_failures
            num_failures += 1
            monkeypatch.setattr(runner, "_programs", programs)
            program(*arguments)
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 1 byte.")

        return run

    hub = FakeHub()
    scheduler = Scheduler(runner, hub)
    sampling = SamplingParams(temperature=0.0, max_tokens=24)
    asked = replace(sampling, logit_bias={5: 0.5}, logprobs=1, prompt_logprobs=0)
    doomed = [GenerationRequest(key << 12, (Prompt.of_ids(prompts[0].ids),), asked, str(key)) for key in (1, 2)]
    failing = {key: fail(program) if key.kind == kind else program for key, program in programs.items()}
    monkeypatch.setattr(runner, "_programs", failing)
    for each in doomed:
        scheduler.submit(each)
    while scheduler.gauges != (0, 0, 0):
        scheduler.step()
        scheduler.check_integrity()
    assert num_failures == 1
    assert set(hub.failed.values()) == {"engine_error"}
    after = [
        GenerationRequest(key << 12, (Prompt.of_ids(prompt.ids),), sampling, str(key))
        for key, prompt in enumerate(prompts, 3)
    ]
    for each in after:
        scheduler.submit(each)
    while scheduler.gauges != (0, 0, 0):
        scheduler.step()
    assert [hub.tokens[each.stream_key] for each in after] == [prompt.greedy for prompt in prompts]
