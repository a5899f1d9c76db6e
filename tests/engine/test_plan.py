"""Shapes and memory, decided before anything is loaded."""

import itertools
import random
from types import SimpleNamespace

import jax
import pytest

from penstock.checkpoint import Checkpoint
from penstock.engine import EngineOptions, memory_check
from penstock.engine.memory import slot_bytes
from penstock.engine.memory_check import free_cgroup_bytes, free_host_bytes
from penstock.engine.mesh import devices_for
from penstock.engine.page_plan import PageNeeds, first_page_seen, window_pages
from penstock.engine.plan import packed_formats, plan_engine
from penstock.engine.program_set import decode_buckets, prefill_buckets, program_keys
from penstock.engine.runner import JaxRunner
from penstock.errors import ConfigError


def plan(checkpoint: Checkpoint, **options):
    return plan_engine(checkpoint, EngineOptions(**options), device=jax.devices()[0])


def test_buckets_reach_every_size_and_end_at_the_limit():
    assert decode_buckets(1) == (1,)
    assert decode_buckets(3) == (1, 3)
    assert decode_buckets(32) == (1, 4, 8, 16, 32)
    assert decode_buckets(33)[-1] == 33
    assert prefill_buckets(256) == (16, 32, 64, 128, 256)
    assert prefill_buckets(100) == (16, 32, 64, 100)


def test_programs_are_few_and_the_smallest_come_first(checkpoint: Checkpoint):
    keys = program_keys(*plan(checkpoint))
    assert len(keys) == len(set(keys)) == 16
    assert [key.size for key in keys] == sorted(key.size for key in keys)


def test_kernels_that_leave_padding_out_need_fewer_programs(checkpoint: Checkpoint):
    formats = packed_formats(checkpoint, EngineOptions(), device=jax.devices()[0])
    capacity, config = plan_engine(checkpoint, EngineOptions(), device=jax.devices()[0], formats=formats)
    keys = program_keys(capacity, config)
    assert [key.size for key in keys if key.kind == "prefill"] == [32, 128]
    assert [key.size for key in keys if key.kind == "advance"] == [1, 8, 32]
    assert [key.size for key in keys if key.kind == "mixed"] == [1, 8, 32]
    assert len(keys) == len(set(keys)) == 15


def test_one_slot_has_no_program_for_a_span_beside_rows(checkpoint: Checkpoint):
    formats = packed_formats(checkpoint, EngineOptions(), device=jax.devices()[0])
    kinds = []
    for num_slots in (1, 2):
        options = EngineOptions(max_num_seqs=num_slots)
        planned = plan_engine(checkpoint, options, device=jax.devices()[0], formats=formats)
        kinds.append({key.kind for key in program_keys(*planned)})
    assert kinds[1] - kinds[0] == {"mixed"}


def test_the_cache_holds_every_slot_at_full_length_where_memory_allows(checkpoint: Checkpoint):
    capacity, config = plan(checkpoint, max_num_seqs=4, max_model_len=100)
    assert (capacity.num_pages, config.num_pages) == ((4 * 7,), (4 * 7 + 1,))
    assert config.pages_per_sequence >= 7


def test_kv_cache_memory_bounds_the_cache(checkpoint: Checkpoint):
    page_bytes = 16 * 2 * 2 * 24 * 3 * 4
    capacity, _ = plan(checkpoint, max_model_len=64, kv_cache_memory=10 * page_bytes)
    assert capacity.num_pages == (9,)


def test_the_context_is_what_fits_where_nobody_asked_for_a_length(checkpoint: Checkpoint):
    page_bytes = 16 * 2 * 2 * 24 * 3 * 4
    capacity, config = plan(checkpoint, kv_cache_memory=10 * page_bytes)
    assert (capacity.num_pages, capacity.max_model_len) == ((9,), 9 * 16)
    assert 9 <= config.pages_per_sequence < 9 + 4


def test_free_memory_that_differs_a_little_gives_the_same_programs(checkpoint: Checkpoint, monkeypatch):
    plans = []
    for free in (400_000_000, 401_000_000, 402_000_000):
        monkeypatch.setattr(memory_check, "free_host_bytes", lambda free=free: free)
        plans.append(plan(checkpoint, max_num_seqs=1024))
    assert plans[0] == plans[1] == plans[2]
    assert plans[0][0].num_pages[0] > 256


def test_a_sequence_that_cannot_fit_is_refused_by_the_names_of_the_settings(checkpoint: Checkpoint):
    for asked in (None, 512):
        with pytest.raises(ConfigError, match=r"--max-model-len .*--kv-cache-memory"):
            plan(checkpoint, max_model_len=asked, kv_cache_memory=20_000)


def test_more_positions_than_the_model_has_are_refused(checkpoint: Checkpoint):
    with pytest.raises(ConfigError, match=r"--max-model-len 513 .* 512 positions"):
        plan(checkpoint, max_model_len=513)


def test_more_devices_than_there_are_are_refused_by_the_setting():
    num_devices = len(jax.devices()) + 1
    with pytest.raises(ConfigError, match=rf"--tensor-parallel-size {num_devices} should be at most {num_devices - 1}"):
        devices_for(num_devices)


def test_each_of_several_devices_holds_its_part_of_the_cache(checkpoint: Checkpoint):
    """Twice as many pages in the same bytes, as each has half of the heads."""
    page_bytes = 16 * 2 * 2 * 24 * 3 * 4
    one, _ = plan(checkpoint, kv_cache_memory=10 * page_bytes)
    two, config = plan(checkpoint, kv_cache_memory=10 * page_bytes, tensor_parallel_size=2)
    assert (one.num_pages, two.num_pages) == ((9,), (19,))
    assert (config.num_devices, config.spec.layers[0].cache.num_heads) == (2, 1)


def test_free_memory_is_measured():
    assert 1 << 20 < free_host_bytes() < 1 << 50


def test_files_that_a_container_has_read_take_none_of_its_memory(tmp_path, monkeypatch):
    """A model of 6 GB in a container of 8 GB, copied there before: it was said to have 1 GB free."""
    stat = "anon 1000000000\nfile 6000000000\nshmem 0\ninactive_file 4000000000\nactive_file 2000000000\n"
    for name, text in (("max", "8000000000\n"), ("current", "7000000000\n"), ("stat", stat)):
        (tmp_path / f"memory.{name}").write_text(text)
    assert free_cgroup_bytes(tmp_path) == 7_000_000_000
    monkeypatch.setattr(memory_check, "CGROUP", tmp_path)
    assert free_host_bytes() <= 7_000_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_host_bytes() < 1 << 50


def test_a_model_that_cannot_fit_is_refused_before_anything_is_loaded(checkpoint: Checkpoint, monkeypatch):
    """It was told that a sequence of 512 tokens needed more cache, whatever the weights alone would take."""
    monkeypatch.setattr(memory_check, "free_host_bytes", lambda: 700_000)
    with pytest.raises(
        ConfigError, match=r"does not fit: it needs .*weights 699 KB.*cache .* has 700 KB free.*--dtype"
    ):
        plan(checkpoint, max_num_seqs=1)


def test_a_cache_that_was_asked_for_must_fit_beside_the_weights(checkpoint: Checkpoint, monkeypatch):
    monkeypatch.setattr(memory_check, "free_host_bytes", lambda: 20_000_000)
    with pytest.raises(ConfigError, match=r"cache 15 MB\), .*20 MB free"):
        plan(checkpoint, kv_cache_memory=15_000_000, max_num_seqs=32)
    assert plan(checkpoint, kv_cache_memory=5_000_000, max_num_seqs=32)[0].num_pages[0] > 0


def test_programs_that_need_more_than_is_left_are_refused(monkeypatch):
    program = SimpleNamespace(memory_analysis=lambda: SimpleNamespace(temp_size_in_bytes=9_000_000))
    monkeypatch.setattr(memory_check, "free_host_bytes", lambda: 10_000_000)
    device = jax.devices()[0]
    memory_check.check_temporaries({1: program, 2: object()}, cache_bytes=500_000, device=device)
    with pytest.raises(ConfigError, match=r"programs need 9 MB while they run, 5 MB is left"):
        memory_check.check_temporaries({1: program}, cache_bytes=5_000_000, device=device)


def test_temporaries_are_what_was_planned_for(loaded: tuple[JaxRunner, list[str]], checkpoint: Checkpoint):
    found = memory_check.temporaries_of(loaded[0]._programs)
    planned = memory_check.estimated_temporaries(
        checkpoint.spec, num_slots=6, max_prefill_tokens=32, block_size=64, num_bytes=4,
        state_bytes=7 * slot_bytes(1280),
    )  # fmt: skip
    assert 0 < found <= planned


def test_a_cache_of_half_size_holds_twice_the_tokens(checkpoint: Checkpoint):
    memory = 3_000_000
    whole, half = (plan(checkpoint, kv_cache_memory=memory, kv_cache_dtype=kind)[0] for kind in (None, "bfloat16"))
    assert half.num_pages[0] // 2 == whole.num_pages[0] + 1


def test_a_page_group_with_a_window_gets_what_its_window_needs():
    """Three windows of 100 positions and spans of 40: 7 pages of the window, 3 of a span, 1 where they begin."""
    needs = PageNeeds((10, 30), (None, window_pages(100, page_size=16, max_span=40)))
    assert needs.max_pages == (None, 11)
    longest = needs.of_sequence(64)
    assert longest == (64, 11)
    assert needs.shares(10**9, of_longest=longest, num_slots=3) == (3 * 64, 3 * 11)
    assert needs.shares(20, of_longest=longest, num_slots=3) == (64, 20)


def test_the_most_pages_that_fit_are_found():
    rng = random.Random(3)
    for _ in range(200):
        groups = [(rng.randint(1, 50), rng.choice([None, rng.randint(1, 9)])) for _ in range(rng.randint(1, 3))]
        needs = PageNeeds(*zip(*groups, strict=True))
        num_slots, of_longest = rng.randint(1, 5), needs.of_sequence(rng.randint(1, 12))
        budget = rng.randint(0, 4000)
        sizes = [
            needs.num_bytes(needs.shares(num, of_longest=of_longest, num_slots=num_slots))
            for num in range(num_slots * max(of_longest) + 1)
        ]
        want = max((num for num, size in enumerate(sizes) if size <= budget), default=-1)
        assert needs.most_within(budget, of_longest=of_longest, num_slots=num_slots) == want
        lengths = [needs.num_bytes(needs.of_sequence(num)) for num in range(20)]
        assert needs.longest_within(budget, limit=19) == sum(size <= budget for size in lengths) - 1


@pytest.mark.parametrize("window", [1, 2, 5, 16, 17, 40])
def test_no_sequence_ever_holds_more_pages_than_its_window_needs(window: int):
    """Every place where a step may begin, and every length that it may have, counted page by page."""
    page_size, max_span = 4, 9
    for position, num_new in itertools.product(range(80), range(1, max_span + 1)):
        held = range(first_page_seen(position, window, page_size), (position + num_new - 1) // page_size + 1)
        assert len(held) <= window_pages(window, page_size=page_size, max_span=max_span)
        seen = {key // page_size for key in range(max(position - window + 1, 0), position + num_new)}
        assert seen <= set(held)


def test_all_slots_have_their_pages_where_memory_is_no_question(checkpoint: Checkpoint):
    """Rounding to steady numbers was meant for what free memory allows: 3 sequences of 21 pages got 56."""
    capacity, _ = plan(checkpoint, max_num_seqs=3, max_model_len=331)
    assert capacity.num_pages == (63,)
