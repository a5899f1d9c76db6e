"""Greedy tokens equal the recorded ones, whatever else runs and however the prompt was cut."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from driving import Driver
from golden import ENGINE_NAMES, IS_WHOLE, NAMES, golden_folder, read_prompts
from quick import QUICK_CPU

from penstock.checkpoint import inspect_checkpoint
from penstock.engine import EngineOptions
from penstock.engine.platform import PLATFORMS
from penstock.engine.runner import JaxRunner
from penstock.generation import SamplingParams

#: In every run ten kinds of layers run alone, in odd spans, and two in company.
ALONE = NAMES if IS_WHOLE else ENGINE_NAMES
TOGETHER = NAMES if IS_WHOLE else ENGINE_NAMES[:2]
SAMPLED = SamplingParams(temperature=0.9, top_k=50, top_p=0.95, min_p=0.01)


@pytest.mark.parametrize("name", ALONE)
def test_alone(name: str, load_golden):
    driver = Driver(load_golden(name))
    for number, prompt in enumerate(read_prompts(golden_folder(name))):
        spans = (1, 7, 13, 3) if number % 2 else ()
        live = driver.start(prompt.ids, max_new=len(prompt.greedy), spans=spans)
        assert driver.finish([live]) == [prompt.greedy], prompt.name


@pytest.mark.parametrize("name", TOGETHER)
def test_among_sampled_rows_in_odd_spans_over_scattered_pages(name: str, load_golden):
    driver = Driver(load_golden(name), seed=1)
    noise = driver.start(np.arange(3, 30), max_new=60, sampling=SAMPLED)
    for prompt in read_prompts(golden_folder(name)):
        live = driver.start(prompt.ids, max_new=len(prompt.greedy), spans=(1, 7, 13, 3))
        while live.end == 0:
            driver.step([noise, live])
        driver.drop(live)
        assert live.tokens == prompt.greedy, prompt.name


@pytest.mark.parametrize("name", TOGETHER)
def test_after_others_were_dropped_in_its_slot_and_pages(name: str, load_golden):
    driver = Driver(load_golden(name), seed=2)
    prompts = read_prompts(golden_folder(name))
    others = [driver.start(prompt.ids, max_new=40) for prompt in prompts[1:]]
    for _ in range(5):
        driver.step(others)
    for other in others[:2]:
        driver.drop(other)
    live = driver.start(prompts[0].ids, max_new=len(prompts[0].greedy), slot=others[0].slot)
    driver.step([live, others[2]])
    driver.drop(others[2])
    assert driver.finish([live]) == [prompts[0].greedy]


def test_the_accelerators_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Fixed trip counts, pages of 64 and every variant of the sampler, as on a GPU, but on the CPU and in float32. The
    block table is one block: jax 0.10.2 computes its sums wrongly unless `compiler_options` are those of the CPU."""
    options = QUICK_CPU.compiler_options
    platform = replace(PLATFORMS["gpu"], dtype="float32", tokens_per_dispatch=1, compiler_options=options)
    monkeypatch.setitem(PLATFORMS, "cpu", platform)
    options = EngineOptions(max_num_seqs=1, max_prefill_tokens=16, compile_cache=tmp_path)
    driver = Driver(JaxRunner.load(inspect_checkpoint(golden_folder("qwen3")), options, on_progress=lambda _: None))
    for prompt in read_prompts(golden_folder("qwen3")):
        assert driver.finish([driver.start(prompt.ids, max_new=len(prompt.greedy))]) == [prompt.greedy], prompt.name
    sampled = [driver.finish([driver.start(prompt.ids, max_new=9, sampling=SAMPLED)]) for _ in range(2)]
    assert sampled[0] == sampled[1] != [prompt.greedy[:9]]
    first = prompt.greedy[0]
    ruled = SamplingParams(temperature=0.0, logit_bias={first: -100.0}, repetition_penalty=1.2, logprobs=1)
    live = driver.start(prompt.ids, max_new=9, sampling=ruled)
    (tokens,) = driver.finish([live])
    assert first not in tokens
    output, row = live.outputs[0]
    assert output.logprobs.top_ids[row, 0, 0] == first
    assert output.logprobs.ranks[row, 0] > 1
