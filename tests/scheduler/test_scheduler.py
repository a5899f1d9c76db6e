"""The step against a fake device: each sequence gets what it would get alone, whatever happens around it."""

import contextlib
import dataclasses
import random
import sys
import threading

import numpy as np
import pytest
from fakes import LENGTH, FakeHub, FakeRunner, make_request, naive_tokens, small_capacity

from penstock.errors import ApiError
from penstock.generation import Prompt
from penstock.scheduler.scheduler import Scheduler

STOP_IDS = (7,)


def make_scheduler(*, max_queued_requests=64, stop_ids=STOP_IDS, **capacity):
    runner, hub = FakeRunner(small_capacity(**capacity)), FakeHub()
    return Scheduler(runner, hub, stop_ids=stop_ids, max_queued_requests=max_queued_requests), runner, hub


def run_to_the_end(scheduler, *, limit=2000):
    for _ in range(limit):
        if scheduler.is_idle:
            return
        scheduler.step()
        scheduler.check_integrity()
    raise AssertionError("the scheduler never became idle")


def assert_equals_alone(hub, requests):
    for request in requests:
        for index in range(request.num_choices):
            key = request.stream_key | index
            ids, end = naive_tokens(request, index, stop_ids=STOP_IDS)
            assert (hub.tokens[key], hub.ends[key]) == (ids, end)


pipelines = pytest.mark.parametrize(("pipeline_depth", "tokens_per_dispatch"), [(1, 1), (2, 1), (1, 4), (2, 4)])


@pipelines
def test_a_sequence_alone_equals_the_naive_run(pipeline_depth, tokens_per_dispatch):
    for seed in range(10):
        scheduler, runner, hub = make_scheduler(pipeline_depth=pipeline_depth, tokens_per_dispatch=tokens_per_dispatch)
        request = make_request(1, [list(range(seed * 2 + 1))], 17, seed=seed)
        scheduler.submit(request)
        run_to_the_end(scheduler)
        assert_equals_alone(hub, [request])
        assert hub.gauges == (0, 0, 0)
        assert tokens_per_dispatch in runner.widths or not runner.widths


@pipelines
def test_many_at_once_equal_each_alone(pipeline_depth, tokens_per_dispatch):
    scheduler, _, hub = make_scheduler(pipeline_depth=pipeline_depth, tokens_per_dispatch=tokens_per_dispatch)
    requests = [
        make_request(1, [[1, 2], [3]], 9, n=3, seed=4),
        make_request(2, [list(range(30))], 18),
        make_request(3, [[5]], 1),
        make_request(4, [[5]], 12, temperature=0.0),
    ]
    for request in requests:
        scheduler.submit(request)
    run_to_the_end(scheduler)
    assert_equals_alone(hub, requests)
    assert sorted(hub.scheduled) == sorted(r.stream_key | i for r in requests for i in range(r.num_choices))


@pipelines
@pytest.mark.parametrize("seed", range(25))
def test_a_storm_leaves_survivors_untouched_and_nothing_behind(seed, pipeline_depth, tokens_per_dispatch):
    rng = random.Random(seed)
    scheduler, runner, hub = make_scheduler(
        num_slots=rng.randint(1, 6),
        num_pages=rng.randint(12, 40),
        pipeline_depth=pipeline_depth,
        tokens_per_dispatch=tokens_per_dispatch,
    )
    requests, cancelled = {}, set()
    for step in range(150):
        for _ in range(rng.choice([0, 0, 0, 1, 1, 4])):
            prompts = [[rng.randrange(20) for _ in range(rng.randint(1, 24))] for _ in range(rng.choice([1, 1, 2]))]
            request = make_request(
                len(requests) + 1,
                prompts,
                rng.randint(1, 24),
                n=rng.choice([1, 1, 2, 3]),
                seed=rng.randrange(1 << 60),
                temperature=rng.choice([0.0, 1.0]),
            )
            if rng.random() < 0.2:
                hub.text_ends[request.stream_key | rng.randrange(request.num_choices)] = rng.randint(1, 12)
            with contextlib.suppress(ApiError):  # a full queue
                scheduler.submit(request)
                requests[request.stream_key] = request
        if requests and rng.random() < 0.15:
            stream_key = rng.choice([*requests, 999 << 12])
            cancelled.add(stream_key)
            scheduler.cancel(stream_key)
        if step % 12 == 0 and not runner.faults and rng.random() < 0.4:
            runner.faults = [rng.choice(["span", "decode", "fetch"])]
        scheduler.step()
        scheduler.check_integrity()
        assert runner.num_unfetched <= pipeline_depth - 1
    runner.faults.clear()
    run_to_the_end(scheduler)

    assert hub.gauges == scheduler.gauges == (0, 0, 0)
    for request in requests.values():
        for index in range(request.num_choices):
            key = request.stream_key | index
            ids, end = naive_tokens(request, index, stop_ids=STOP_IDS)
            got = hub.tokens.get(key, [])
            assert got == ids[: len(got)]
            if request.stream_key in hub.failed or request.stream_key in cancelled:
                continue
            if key in hub.text_ends and hub.text_ends[key] <= len(ids):
                assert (len(got), hub.ends[key]) == (hub.text_ends[key], -1)
            else:
                assert (got, hub.ends[key]) == (ids, end)


def test_decode_goes_on_in_every_step_of_a_long_prefill():
    scheduler, _, hub = make_scheduler(max_model_len=96, num_pages=60)
    talker = make_request(1, [[1]], 20, seed=1)
    assert len(naive_tokens(talker, 0, stop_ids=STOP_IDS)[0]) > 8
    scheduler.submit(talker)
    scheduler.step()
    scheduler.submit(make_request(2, [[3] * 48], 2))
    counts = []
    for _ in range(6):
        scheduler.step()
        counts.append(len(hub.tokens[1 << 12]))
    assert counts == [2, 3, 4, 5, 6, 7]
    assert len(hub.tokens[2 << 12]) == 2  # its first token and, beside the talker's, its second


def test_a_first_token_does_not_wait_for_the_second():
    scheduler, runner, hub = make_scheduler()
    scheduler.submit(make_request(1, [[1, 2, 3]], 5, seed=1))
    scheduler.step()
    assert (len(hub.tokens[1 << 12]), runner.widths) == (1, [])


@pipelines
@pytest.mark.parametrize("num_steps_before", [0, 1, 2, 3, 5])
def test_a_cancel_acts_in_the_next_step_wherever_the_sequence_is(num_steps_before, pipeline_depth, tokens_per_dispatch):
    scheduler, _, hub = make_scheduler(pipeline_depth=pipeline_depth, tokens_per_dispatch=tokens_per_dispatch)
    scheduler.submit(make_request(1, [[1] * 20, [2]], 20, n=2, seed=5))
    for _ in range(num_steps_before):
        scheduler.step()
    scheduler.cancel(1 << 12)
    scheduler.cancel(1 << 12)
    scheduler.cancel(77 << 12)
    scheduler.step()
    assert scheduler.gauges == (0, 0, 0)
    run_to_the_end(scheduler, limit=3)
    assert hub.gauges == (0, 0, 0)


def test_a_full_queue_refuses_and_says_when_to_come_back():
    scheduler, _, _ = make_scheduler(max_queued_requests=2, num_slots=1)
    scheduler.submit(make_request(4, [[1]], 4))
    scheduler.step()
    for stream in (1, 2):
        scheduler.submit(make_request(stream, [[1]], 4, n=3))
    with pytest.raises(ApiError) as refusal:
        scheduler.submit(make_request(3, [[1]], 4))
    assert (refusal.value.kind, refusal.value.status) == ("server_overloaded", 503)
    assert refusal.value.retry_after_s > 0
    run_to_the_end(scheduler)
    scheduler.submit(make_request(3, [[1]], 4))


def test_a_burst_that_free_slots_can_take_is_not_refused():
    scheduler, _, _ = make_scheduler(max_queued_requests=1, num_slots=3)
    for stream in (1, 2, 3, 4):
        scheduler.submit(make_request(stream, [[1]], 4))
    with pytest.raises(ApiError, match="busy"):
        scheduler.submit(make_request(5, [[1]], 4))
    run_to_the_end(scheduler)


def test_what_can_never_fit_is_refused():
    scheduler, _, _ = make_scheduler(num_pages=5)
    with pytest.raises(ApiError, match="maximum context length is 20 tokens") as refusal:
        scheduler.submit(make_request(1, [[1] * 9], 12))
    assert refusal.value.kind == "context_length_exceeded"
    scheduler.submit(make_request(1, [[1] * 8], 12))


@pytest.mark.parametrize(
    "given", [{"temperature": 1e39}, {"top_k": 1 << 40}, {"stop_token_ids": (1 << 31,)}, {"min_p": "much"}]
)
def test_parameters_that_no_row_can_hold_are_refused_before_a_step_meets_them(given):
    """A server's own code may set what no client can: it must not fail those that run beside it."""
    scheduler, _, hub = make_scheduler()
    with pytest.raises(ApiError, match="The sampling parameters cannot be used") as refusal:
        scheduler.submit(make_request(1, [[1]], 4, **given))
    assert refusal.value.kind == "invalid_value"
    scheduler.submit(make_request(2, [[1]], 4))
    run_to_the_end(scheduler)
    assert not hub.failed


@pytest.mark.parametrize("call", ["span", "decode", "fetch"])
@pytest.mark.parametrize("pipeline_depth", [1, 2])
def test_a_failed_step_fails_its_own_and_the_queue_goes_on(call, pipeline_depth, caplog):
    scheduler, runner, hub = make_scheduler(num_slots=1, pipeline_depth=pipeline_depth)
    running, waiting = make_request(1, [[1] * 12], 9, n=2, seed=2), make_request(2, [[2]], 9, seed=1)
    scheduler.submit(running)
    scheduler.submit(waiting)
    runner.faults = [call]
    while not hub.failed:
        scheduler.step()
        scheduler.check_integrity()
    run_to_the_end(scheduler)
    assert hub.failed == {1 << 12: "engine_error"}
    assert_equals_alone(hub, [waiting])
    assert "fault injected" in caplog.text
    assert runner.epoch == 2


def test_a_choice_that_cannot_begin_fails_its_stream_and_keeps_no_slot_and_no_page(caplog):
    scheduler, _, hub = make_scheduler(num_slots=2)
    broken, whole = make_request(1, [[1] * 12], 9, n=2), make_request(2, [[2]], 9, seed=1)
    broken = dataclasses.replace(broken, prompts=(Prompt(12, text="no ids"),))
    scheduler.submit(broken)
    scheduler.submit(whole)
    run_to_the_end(scheduler)
    assert hub.failed == {1 << 12: "engine_error"}
    assert_equals_alone(hub, [whole])
    assert scheduler.gauges == (0, 0, 0)
    assert "its prompts as tokens" in caplog.text


@pytest.mark.parametrize(("error", "num_failures"), [(RuntimeError, 3), (FloatingPointError, 1)])
def test_an_engine_that_only_fails_is_given_up(error, num_failures, caplog):
    scheduler, runner, hub = make_scheduler(num_slots=1)
    runner.faults, runner.error = ["span"] * 9, error
    for stream in range(1, 6):
        scheduler.submit(make_request(stream, [[1]], 4))
    for _ in range(num_failures - 1):
        scheduler.step()
    with pytest.raises(error, match="fault injected"):
        scheduler.step()
    scheduler.close("engine_dead", "The engine has failed.")
    assert [*hub.failed.values()].count("engine_error") == num_failures
    assert len(hub.failed) == 5
    assert hub.gauges == scheduler.gauges == (0, 0, 0)
    with pytest.raises(ApiError) as refusal:
        scheduler.submit(make_request(9, [[1]], 4))
    assert refusal.value.kind == "engine_dead"


def test_good_steps_between_failures_forgive_them(caplog):
    scheduler, runner, hub = make_scheduler(num_slots=1)
    for stream in range(1, 7):
        runner.faults = ["span"]
        scheduler.submit(make_request(stream, [[1]], 4))
        scheduler.submit(make_request(stream + 100, [[1]], 4))
        run_to_the_end(scheduler)
    assert len(hub.failed) == 6


def test_submits_and_cancels_from_other_threads_leave_nothing_behind():
    scheduler, _, hub = make_scheduler(num_slots=4, num_pages=40, pipeline_depth=2)
    requests = [make_request(stream, [[stream % 20] * (stream % 9 + 1)], 8, n=2) for stream in range(1, 301)]
    cancelled = {request.stream_key for request in requests[::3]}

    def feed(share):
        for request in share:
            while True:
                try:
                    scheduler.submit(request)
                    break
                except ApiError:
                    threading.Event().wait(0.001)
            if request.stream_key in cancelled:
                scheduler.cancel(request.stream_key)

    feeders = [threading.Thread(target=feed, args=(requests[start::3],)) for start in range(3)]
    for feeder in feeders:
        feeder.start()
    while any(feeder.is_alive() for feeder in feeders) or not scheduler.is_idle:
        scheduler.step()
    scheduler.check_integrity()
    assert_equals_alone(hub, [r for r in requests if r.stream_key not in cancelled])
    assert hub.gauges == (0, 0, 0)


def test_one_push_per_step_and_none_when_idle():
    scheduler, _, hub = make_scheduler()
    scheduler.submit(make_request(1, [[1]], 6, n=3, seed=8))
    num_steps = 0
    while not scheduler.is_idle:
        scheduler.step()
        num_steps += 1
    assert hub.num_pushes <= num_steps + 1
    before = hub.num_pushes
    scheduler.step()
    assert hub.num_pushes == before
    assert np.array_equal(hub.gauges, (0, 0, 0))


def test_spans_of_a_lone_long_prompt_are_waited_for_one_by_one():
    scheduler, runner, _ = make_scheduler(pipeline_depth=2, max_model_len=96, num_pages=60)
    scheduler.submit(make_request(1, [[1] * 80], 2))
    for _ in range(4):
        assert not scheduler.step()
        assert runner.num_unfetched == 1  # the one that runs while the host plans the next
    scheduler.cancel(1 << 12)
    run_to_the_end(scheduler, limit=3)
    assert runner.num_unfetched == 0


def lines_of_a_steady_step(num_rows):
    """Lines of the package that one decode step runs through in which no row needs a page."""
    scheduler, _, _ = make_scheduler(num_slots=num_rows, num_pages=num_rows * 2, page_size=24, stop_ids=())
    for stream in range(1, num_rows + 1):
        scheduler.submit(make_request(stream, [[1]], 47, seed=stream))
    for _ in range(10):
        scheduler.step()
    num_lines = 0

    def trace(frame, event, _):
        nonlocal num_lines
        if "penstock/scheduler" not in frame.f_code.co_filename:
            return None
        num_lines += event == "line"
        return trace

    sys.settrace(trace)
    try:
        scheduler.step()
    finally:
        sys.settrace(None)
    assert scheduler.gauges[0] == num_rows
    return num_lines


def test_a_steady_step_runs_no_python_per_row():
    assert lines_of_a_steady_step(1) == lines_of_a_steady_step(40) > 0


@pipelines
def test_min_tokens_ignore_eos_and_no_tokens_equal_the_naive_run(pipeline_depth, tokens_per_dispatch):
    scheduler, _, hub = make_scheduler(
        num_slots=6, num_pages=60, pipeline_depth=pipeline_depth, tokens_per_dispatch=tokens_per_dispatch
    )
    requests = [
        make_request(1, [[1, 2]], 20, n=2, seed=3, min_tokens=15, stop_token_ids=(1, 2, 3)),
        make_request(2, [[1, 2]], 20, n=2, seed=3, ignore_eos=True),
        make_request(3, [list(range(19)), [4]], 0, n=2),
        make_request(4, [[1, 2]], 20, n=2, seed=3),
    ]
    for request in requests:
        scheduler.submit(request)
    run_to_the_end(scheduler)
    assert_equals_alone(hub, requests)
    assert len(hub.tokens[1 << 12]) >= 15
    assert (hub.tokens[3 << 12], hub.ends[3 << 12]) == ([], LENGTH)


def test_more_min_tokens_than_tokens_are_refused():
    scheduler, _, _ = make_scheduler()
    with pytest.raises(ApiError, match="at most the 4 new tokens") as refusal:
        scheduler.submit(make_request(1, [[1]], 4, min_tokens=5))
    assert (refusal.value.kind, refusal.value.param) == ("invalid_value", "min_tokens")


@pipelines
def test_a_row_that_is_not_a_number_fails_its_stream_and_the_others_go_on(pipeline_depth, tokens_per_dispatch, caplog):
    scheduler, runner, hub = make_scheduler(
        num_slots=6, num_pages=60, pipeline_depth=pipeline_depth, tokens_per_dispatch=tokens_per_dispatch
    )
    runner.broken_tokens = {-5}
    good = [make_request(stream, [[stream]], 12, seed=stream) for stream in (1, 2)]
    broken = make_request(3, [[1], [2, -5]], 12)
    for request in (good[0], broken, good[1]):
        scheduler.submit(request)
    run_to_the_end(scheduler)
    assert hub.failed == {3 << 12: "engine_error"}
    assert_equals_alone(hub, good)
    assert runner.epoch == 1
    assert "not a number" in caplog.text


def test_a_full_queue_says_so_before_a_request_is_made():
    scheduler, _, _ = make_scheduler(max_queued_requests=1, num_slots=1)
    scheduler.queue.check_has_room()
    scheduler.submit(make_request(1, [[1]], 9))
    scheduler.step()
    scheduler.queue.check_has_room()
    scheduler.submit(make_request(2, [[1]], 9))
    with pytest.raises(ApiError) as refusal:
        scheduler.queue.check_has_room()
    assert refusal.value.kind == "server_overloaded"
    scheduler.close("draining", "The server shuts down.")
    with pytest.raises(ApiError, match="stopped"):
        scheduler.queue.check_has_room()
