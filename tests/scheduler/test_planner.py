"""The policy alone: who joins, which spans, how many tokens."""

from fakes import make_request, small_capacity

from penstock.engine.interface import Yields
from penstock.engine.row_parameters import ROW_LAYOUT
from penstock.scheduler.planner import Planner
from penstock.scheduler.request_queue import RequestQueue


def planner_of(*requests, stop_ids=(), **capacity):
    queue = RequestQueue(64)
    planner = Planner(small_capacity(**capacity), queue, stop_ids=stop_ids)
    for request in requests:
        queue.submit(request)
    planner.admit()
    return planner


def spans_of(planner):
    """The spans of the next step as (stream, start, tokens, is the last of its prompt)."""
    sequences = {sequence.slot: sequence for sequence in planner._sequences.values()}
    return [
        (sequences[span.slot].generation.stream_key >> 12, span.start, len(span.tokens), Yields.TOKEN in span.yields)
        for span in planner.plan().plan.spans
    ]


def test_a_long_prompt_is_cut_into_spans_of_the_whole_budget():
    planner = planner_of(make_request(1, [list(range(20))], 4))
    assert [spans_of(planner) for _ in range(4)] == [
        [(1, 0, 8, False)],
        [(1, 8, 8, False)],
        [(1, 16, 4, True)],
        [],
    ]


def test_beside_rows_that_decode_a_prompt_is_cut_into_shorter_spans():
    planner = planner_of(
        make_request(1, [[1] * 3], 20), make_request(2, [[1] * 16], 4), make_request(3, [[1]], 1),
        max_prefill_tokens_beside=4,
    )  # fmt: skip
    assert [spans_of(planner) for _ in range(5)] == [
        [(1, 0, 3, True), (2, 0, 4, False), (3, 0, 1, True)],
        [(2, 4, 4, False)],
        [(2, 8, 4, False)],
        [(2, 12, 4, True)],
        [],
    ]


def test_short_prompts_share_a_step_and_a_prompt_to_be_cut_waits_for_a_whole_one():
    planner = planner_of(make_request(1, [[1, 2, 3]], 4), make_request(2, [[1] * 4], 4), make_request(3, [[2] * 9], 4))
    assert [spans_of(planner) for _ in range(3)] == [
        [(1, 0, 3, True), (2, 0, 4, True)],
        [(3, 0, 8, False)],
        [(3, 8, 1, True)],
    ]


def test_spans_per_step_are_bounded_however_short_they_are():
    requests = [make_request(stream, [[1]], 2) for stream in range(1, 13)]
    planner = planner_of(*requests, num_slots=12, max_prefill_tokens=64)
    assert [len(planner.plan().plan.spans) for _ in range(3)] == [8, 4, 0]


def test_nobody_overtakes_who_waits_for_pages():
    planner = planner_of(
        make_request(1, [[1] * 8], 40), make_request(2, [[1] * 8], 40, n=2), make_request(3, [[1]], 1), num_pages=24
    )
    assert planner.seats.tables.num_in_use == 0  # none before they are needed
    assert (planner.num_running, planner.queue.num_choices) == (2, 2)
    planner.end_stream(1 << 12)
    planner.admit()
    assert (planner.num_running, planner.queue.num_choices) == (2, 1)
    planner.end_stream(2 << 12)
    planner.admit()
    assert (planner.num_running, planner.queue.num_choices) == (1, 0)


def test_a_sequence_takes_pages_for_its_span_and_the_next_tokens_alone():
    planner = planner_of(make_request(1, [[1] * 16], 30))
    nums = []
    for _ in range(7):
        planner.plan()
        nums.append(planner.seats.tables.num_in_use)
        planner.check_integrity()
    assert nums == [2, 5, 5, 5, 5, 5, 6]  # 8 tokens, 16 and the next one's, then one by one


def test_several_tokens_per_dispatch_only_when_nobody_waits_to_join():
    first, second = make_request(1, [[1] * 16], 4), make_request(2, [[1]], 4)
    planner = planner_of(first, tokens_per_dispatch=4)
    planner.plan()
    assert planner.tokens_per_dispatch() == 1  # half of its prompt is still to come
    planner.plan()
    assert planner.tokens_per_dispatch() == 4
    planner.queue.submit(second)
    assert planner.tokens_per_dispatch() == 1


def test_a_cancel_amid_a_plan_gives_rows_no_more_tokens_than_they_have_pages_for():
    planner = planner_of(make_request(1, [[1]], 20), num_slots=1, tokens_per_dispatch=4)
    planner.plan()
    planner.queue.submit(make_request(2, [[1]], 4))
    rows = planner.decode_rows

    def cancel_and_tell_rows():  # as the loop's thread may at any time: nobody waits any more
        planner.queue.cancel(2 << 12)
        return rows()

    planner.decode_rows = cancel_and_tell_rows
    for _ in range(4):
        planner.plan()
        assert planner.seats.progress.num_stored[0] <= planner.seats.tables.num_entries[0] * 4
    assert planner.tokens_per_dispatch() == 4


def test_rows_are_the_same_arrays_until_somebody_joins_or_ends():
    planner = planner_of(make_request(1, [[1]], 4), make_request(2, [[1]], 4))
    planner.plan()
    slots, keys = planner.decode_rows()
    assert keys.tolist() == [1 << 12, 2 << 12]
    assert planner.decode_rows()[0] is slots
    planner.end_rows([1 << 12])
    assert (planner.decode_rows()[1].tolist(), keys.tolist()) == ([2 << 12], [1 << 12, 2 << 12])
    planner.check_integrity()


def test_stop_tokens_of_model_and_request_reach_the_device_once_each():
    planner = planner_of(make_request(1, [[1]], 4, stop_token_ids=(9, 11)), stop_ids=(7, 9))
    (join,) = planner.plan().plan.joins
    assert ROW_LAYOUT.parts(join.params)["stop_ids"].tolist() == [7, 9, 11] + [-1] * 13


def test_ignore_eos_leaves_the_models_own_stop_tokens_out():
    planner = planner_of(make_request(1, [[1]], 4, stop_token_ids=(9, 11), ignore_eos=True), stop_ids=(7, 9))
    (join,) = planner.plan().plan.joins
    assert ROW_LAYOUT.parts(join.params)["stop_ids"].tolist() == [9, 11] + [-1] * 14


def test_parameters_go_down_with_the_first_span_and_pages_with_theirs():
    planner = planner_of(make_request(1, [list(range(20))], 4))
    plans = [planner.plan().plan for _ in range(3)]
    changes = [[(each.group, each.first, len(each.pages)) for each in plan.block_tables] for plan in plans]
    assert changes == [[(0, 0, 2)], [(0, 2, 2)], [(0, 4, 2)]]
    assert [len(plan.joins) for plan in plans] == [1, 0, 0]


def test_every_page_group_gets_a_block_table_and_pages_of_its_own():
    planner = planner_of(make_request(1, [list(range(8))], 4), num_pages=(24, 9), windows=(None, 5))
    first, second = planner.plan().plan.block_tables
    assert (first.group, second.group) == (0, 1)
    assert (first.first, second.first) == (0, 0)
    assert (max(second.pages), len(second.pages)) == (3, 3)


def test_pages_behind_a_window_are_given_back():
    """As soon as no token of the present page sees them, and the last page that a cache would need stays."""
    planner = planner_of(make_request(1, [[1] * 24], 30), num_pages=(24, 9), windows=(None, 5), max_prefill_tokens=8)
    nums = []
    for _ in range(12):
        planner.plan()
        planner.check_integrity()
        nums.append([pool.num_in_use for pool in planner.seats.cache.pools])
    assert nums[:3] == [[2, 2], [4, 3], [7, 4]]
    assert nums[-1] == [9, 2]
    planner.end_stream(1 << 12)
    assert [pool.num_in_use for pool in planner.seats.cache.pools] == [0, 0]
