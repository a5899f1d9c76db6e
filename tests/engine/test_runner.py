"""Steps on the device: ends, several tokens per dispatch, cancel by leaving out, nothing compiled later."""

import jax.numpy as jnp
import numpy as np
import pytest
from driving import Driver, Sampling
from golden import golden_folder, read_prompts

from penstock.engine import PrefillSlice
from penstock.engine.interface import END_LENGTH, END_STOP
from penstock.engine.runner import Runner

SAMPLED = Sampling(temperature=1.1, top_k=80, top_p=0.9, key=(3, 4))


@pytest.fixture(scope="module")
def prompts():
    return read_prompts(golden_folder("qwen3"))


def test_a_length_ends_the_row_on_its_last_token(runner: Runner, prompts):
    live = Driver(runner).start(prompts[0].ids, max_new=1)
    assert (live.tokens, live.end) == (prompts[0].greedy[:1], END_LENGTH)


def test_a_stop_id_ends_the_row_and_is_its_last_token(runner: Runner, prompts):
    driver = Driver(runner)
    stop = prompts[1].greedy[5]
    live = driver.start(prompts[1].ids, max_new=24, stop_ids=(1270, stop))
    driver.finish([live])
    assert live.tokens == prompts[1].greedy[: prompts[1].greedy.index(stop) + 1]
    assert live.end == END_STOP


@pytest.mark.parametrize("tokens", [1, 4])
def test_an_ended_row_stays_silent_beside_a_live_one(runner: Runner, prompts, tokens: int):
    driver = Driver(runner)
    short = driver.start(prompts[0].ids, max_new=3)
    long = driver.start(prompts[1].ids, max_new=24)
    while long.end == 0:
        driver.step([short, long], tokens=tokens)
    assert short.tokens == prompts[0].greedy[:3]
    assert long.tokens == prompts[1].greedy


def test_several_tokens_per_dispatch_are_the_same_tokens(runner: Runner, prompts):
    driver = Driver(runner)
    lives = [driver.start(prompt.ids, max_new=24) for prompt in prompts]
    assert driver.finish(lives, tokens=4) == [prompt.greedy for prompt in prompts]


def test_a_seeded_row_samples_alike_in_any_batch_slot_slice_and_dispatch(runner: Runner, prompts):
    def tokens_of(*, num_others: int, slices: tuple[int, ...], tokens: int, slot: int) -> list[int]:
        driver = Driver(runner, seed=num_others)
        live = driver.start(prompts[2].ids, max_new=24, sampling=SAMPLED, slices=slices, slot=slot)
        others = [driver.start(prompts[0].ids, max_new=100, sampling=Sampling(0.7)) for _ in range(num_others)]
        while live.end == 0:
            driver.step([*others, live], tokens=tokens)
        return live.tokens

    alone = tokens_of(num_others=0, slices=(), tokens=1, slot=0)
    assert len(set(alone)) > 10
    assert tokens_of(num_others=1, slices=(5, 9), tokens=1, slot=3) == alone
    assert tokens_of(num_others=4, slices=(16,), tokens=4, slot=5) == alone


def test_another_key_gives_other_tokens(runner: Runner, prompts):
    driver = Driver(runner)
    lives = [
        driver.start(prompts[2].ids, max_new=16, sampling=Sampling(1.0, key=(3, word)), slot=word) for word in range(3)
    ]
    assert len({tuple(tokens) for tokens in driver.finish(lives)}) == 3


def test_a_result_may_be_fetched_after_later_steps_were_dispatched(runner: Runner, prompts):
    live = Driver(runner).start(prompts[0].ids, max_new=24)
    slots = np.array([live.slot], np.int32)
    steps = [runner.decode(slots) for _ in range(23)]
    assert live.tokens + [int(step.fetch()[0][0, 0]) for step in steps] == prompts[0].greedy
    assert steps[-1].fetch()[1].tolist() == [END_LENGTH]
    assert [part.tolist() for part in runner.decode(slots).fetch()] == [[[-1]], [0]]


def test_reset_forgets_every_slot(runner: Runner, prompts):
    live = Driver(runner).start(prompts[0].ids, max_new=24)
    runner.reset()
    ids, ends = runner.decode(np.array([live.slot], np.int32)).fetch()
    assert (ids.tolist(), ends.tolist()) == ([[-1]], [0])
    again = Driver(runner)
    assert again.finish([again.start(prompts[0].ids, max_new=24)]) == [prompts[0].greedy]


def test_a_slice_that_is_not_the_last_gives_no_row_and_disturbs_none(runner: Runner, prompts):
    driver = Driver(runner)
    live = driver.start(prompts[1].ids, max_new=24)
    piece = PrefillSlice(
        slot=5, tokens=np.arange(9, 25, dtype=np.int32), start=0, pages=np.array([90, 91], np.int32), is_last=False,
        temperature=0.0, top_k=0, top_p=1.0, min_p=0.0, key=(0, 0), max_new_tokens=8, stop_ids=(),
    )  # fmt: skip
    ids, ends = runner.prefill(piece).fetch()
    assert (ids.shape, ends.shape) == ((0, 1), (0,))
    assert runner.decode(np.array([5], np.int32)).fetch()[0].tolist() == [[-1]]
    driver.free_pages = [page for page in driver.free_pages if page not in (90, 91)]
    assert driver.finish([live]) == [prompts[1].greedy]


def test_progress_counts_the_programs(loaded: tuple[Runner, list[str]]):
    _, progress = loaded
    assert progress[0] == "loading weights"
    assert progress[-1] == "compiled 9/9"  # an empty state; slices of 16, 32; 1, 4, 6 rows by 1 and 4 tokens


def test_compiles_after_ready_are_counted(loaded: tuple[Runner, list[str]]):
    runner, _ = loaded
    before = runner.num_compiles_after_ready
    jnp.arange(12345).sum().block_until_ready()
    assert runner.num_compiles_after_ready > before


def test_every_cache_is_donated_and_none_is_copied(loaded: tuple[Runner, list[str]]):
    runner, _ = loaded
    cache_bytes = sum(cache.nbytes for cache in runner._caches)
    pool = "f32[" + ",".join(map(str, runner._caches[0].shape)) + "]"
    for key, compiled in runner._programs.items():
        if key.kind == "fresh":
            continue
        assert compiled.memory_analysis().alias_size_in_bytes >= cache_bytes, key
        text = compiled.as_text()
        assert f"= {pool}" in text, key
        assert [line for line in text.splitlines() if "copy(" in line and f"= {pool}" in line] == [], key
