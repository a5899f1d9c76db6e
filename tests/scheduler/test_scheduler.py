"""The policy alone: who joins, which slices, how many tokens."""

from fakes import make_request, small_capacity

from penstock.scheduler.request_queue import RequestQueue
from penstock.scheduler.scheduler import MAX_SLICES_PER_STEP, Schedule


def schedule_of(*requests, stop_ids=(), **capacity):
    queue = RequestQueue(64)
    schedule = Schedule(small_capacity(**capacity), queue, stop_ids=stop_ids)
    for request in requests:
        queue.submit(request)
    schedule.admit()
    return schedule


def shapes(slices):
    return [(s.generation.stream_key >> 12, p.start, len(p.tokens), p.is_last) for s, p in slices]


def test_a_long_prompt_is_cut_into_slices_of_the_whole_budget():
    schedule = schedule_of(make_request(1, [list(range(20))], 4))
    assert [shapes(schedule.next_slices()) for _ in range(4)] == [
        [(1, 0, 8, False)],
        [(1, 8, 8, False)],
        [(1, 16, 4, True)],
        [],
    ]


def test_short_prompts_share_a_step_and_a_prompt_to_be_cut_waits_for_a_whole_one():
    schedule = schedule_of(
        make_request(1, [[1, 2, 3]], 4), make_request(2, [[1] * 4], 4), make_request(3, [[1] * 9], 4)
    )
    assert [shapes(schedule.next_slices()) for _ in range(3)] == [
        [(1, 0, 3, True), (2, 0, 4, True)],
        [(3, 0, 8, False)],
        [(3, 8, 1, True)],
    ]


def test_slices_per_step_are_bounded_however_short_they_are():
    requests = [make_request(stream, [[1]], 2) for stream in range(1, 13)]
    schedule = schedule_of(*requests, num_slots=12, max_prefill_tokens=64)
    assert [len(schedule.next_slices()) for _ in range(3)] == [MAX_SLICES_PER_STEP, 4, 0]


def test_all_pages_are_taken_at_admission_and_nobody_overtakes():
    schedule = schedule_of(
        make_request(1, [[1] * 8], 40), make_request(2, [[1] * 8], 40, n=2), make_request(3, [[1]], 1), num_pages=24
    )
    assert schedule.pages.num_in_use == 24  # 12 pages each for stream 1 and the first choice of stream 2
    assert (schedule.num_running, schedule.queue.num_choices) == (2, 2)
    schedule.end_stream(1 << 12)
    schedule.admit()
    assert (schedule.num_running, schedule.queue.num_choices) == (2, 1)
    schedule.end_stream(2 << 12)
    schedule.admit()
    assert (schedule.num_running, schedule.queue.num_choices, schedule.pages.num_in_use) == (1, 0, 1)


def test_several_tokens_per_dispatch_only_when_nobody_waits_to_join():
    first, second = make_request(1, [[1] * 16], 4), make_request(2, [[1]], 4)
    schedule = schedule_of(first, tokens_per_dispatch=4)
    schedule.next_slices()
    assert schedule.tokens_per_dispatch() == 1  # half of its prompt is still to come
    schedule.next_slices()
    assert schedule.tokens_per_dispatch() == 4
    schedule.queue.submit(second)
    assert schedule.tokens_per_dispatch() == 1


def test_rows_are_the_same_arrays_until_somebody_joins_or_ends():
    schedule = schedule_of(make_request(1, [[1]], 4), make_request(2, [[1]], 4))
    schedule.next_slices()
    slots, keys = schedule.decode_rows()
    assert keys.tolist() == [1 << 12, 2 << 12]
    assert schedule.decode_rows()[0] is slots
    schedule.end_rows([1 << 12])
    assert (schedule.decode_rows()[1].tolist(), keys.tolist()) == ([2 << 12], [1 << 12, 2 << 12])
    schedule.check_integrity()


def test_stop_tokens_of_model_and_request_reach_the_device_once_each():
    schedule = schedule_of(make_request(1, [[1]], 4), stop_ids=(7, 9))
    assert schedule.stop_ids_of((9, 11)) == (7, 9, 11)
    assert schedule.next_slices()[0][1].stop_ids == (7, 9)
