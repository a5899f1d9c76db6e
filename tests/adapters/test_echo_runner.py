"""The echo engine's device, plan by plan."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from penstock.adapters.echo_runner import EchoRunner, echo_capacity
from penstock.engine.interface import END_LENGTH, Join, Span, StepPlan, Yields
from penstock.engine.row_parameters import pack_row
from penstock.generation import SamplingParams

TOKENS = np.array([10, 11, 12], np.int32)


def slots(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int32)


def plan_of(joins: tuple[Join, ...], spans: tuple[Span, ...], decode: np.ndarray) -> StepPlan:
    """The key of a row is its slot."""
    first = [span.slot for span in spans if Yields.TOKEN in span.yields]
    return StepPlan(joins, spans, (), decode, row_keys=np.array([*first, *decode], np.uint64))


def joining(*limits: int, decode: np.ndarray | None = None, yields: Yields = Yields.TOKEN) -> StepPlan:
    """Sequences with these limits take slots 0, 1, 2 …"""
    params = [pack_row(SamplingParams(max_tokens=limit), rng_key=(1, 2), stop_ids=()) for limit in limits]
    joins = tuple(Join(slot, each) for slot, each in enumerate(params))
    spans = tuple(Span(slot, slots(1, 2), 0, yields) for slot in range(len(limits)))
    return plan_of(joins, spans, slots() if decode is None else decode)


def decoding(*numbers: int) -> StepPlan:
    return plan_of((), (), slots(*numbers))


def run(runner: EchoRunner, plan: StepPlan) -> tuple[list[int], list[int]]:
    output = runner.dispatch(plan).fetch()
    assert output.ids.dtype == np.int32
    assert output.ends.dtype == np.uint8
    assert output.ids.flags.c_contiguous
    return output.ids[:, 0].tolist(), output.ends.tolist()


def make(**options: Any) -> EchoRunner:
    return EchoRunner(echo_capacity(num_slots=8), TOKENS, **options)


def test_every_row_gets_the_tokens_in_turn_until_its_limit() -> None:
    runner = make()
    assert run(runner, joining(2, 5)) == ([10, 10], [0, 0])
    assert run(runner, decoding(0, 1)) == ([11, 11], [END_LENGTH, 0])
    assert run(runner, decoding(0, 1)) == ([-1, 12], [0, 0])
    assert run(runner, decoding(1)) == ([10], [0])
    assert run(runner, decoding(1)) == ([11], [END_LENGTH])


def test_several_tokens_of_a_step_are_the_same_ones_up_to_the_limit() -> None:
    runner = make(rows_with_room=lambda row_keys, num_wanted, timeout_s: row_keys != 2)
    run(runner, joining(6, 9, 9))
    output = runner.dispatch(replace(decoding(0, 1, 2), tokens_per_dispatch=4)).fetch()
    assert output.ids.tolist() == [[11, 12, 10, 11], [11, 12, 10, 11], [-1] * 4]
    output = runner.dispatch(replace(decoding(0, 1), tokens_per_dispatch=4)).fetch()
    assert output.ids.tolist() == [[12, -1, -1, -1], [12, 10, 11, 12]]
    assert output.ids.flags.c_contiguous
    assert output.ends.tolist() == [END_LENGTH, END_LENGTH]


def test_a_limit_of_nothing_ends_at_once() -> None:
    assert run(make(), joining(0)) == ([-1], [END_LENGTH])


def test_rows_of_spans_come_before_those_that_decode() -> None:
    runner = make()
    run(runner, joining(9))
    assert run(runner, joining(9, 9, decode=slots(0))) == ([10, 10, 11], [0, 0, 0])


def test_a_span_that_yields_nothing_has_no_row() -> None:
    assert run(make(), joining(9, yields=Yields.NOTHING)) == ([], [])


def test_what_is_not_built_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="tokens only"):
        make().dispatch(joining(9, yields=Yields.POOLED))


def test_a_row_without_room_waits_and_loses_nothing() -> None:
    room = {0: True, 1: True}
    runner = make(rows_with_room=lambda rows, *_: np.array([room[slot] for slot in rows.tolist()], bool))
    run(runner, joining(9, 9))
    room[1] = False
    assert run(runner, decoding(0, 1)) == ([11, -1], [0, 0])
    room[1] = True
    assert run(runner, decoding(0, 1)) == ([12, 11], [0, 0])


def test_where_nobody_has_room_the_step_comes_back_empty() -> None:
    waits: list[tuple[int, bool]] = []  # for how many rows, and whether at all

    def none(rows: np.ndarray, num_wanted: int, timeout_s: float) -> np.ndarray:
        waits.append((num_wanted, timeout_s > 0))
        return np.zeros(len(rows), bool)

    runner = make(rows_with_room=none)
    run(runner, joining(9, 9, 9))
    assert run(runner, decoding(0, 1, 2)) == ([-1] * 3, [0] * 3)
    assert waits == [(2, True), (1, True)], "for half of them, then for one"
    waits.clear()
    assert run(runner, joining(9, 9, decode=slots(0))) == ([10, 10, -1], [0, 0, 0])
    assert waits == [(0, False)], "who joins is not held up"


def test_steps_are_done_in_the_order_of_dispatch_however_many_are_in_flight() -> None:
    runner = make()
    first, second = runner.dispatch(joining(1)), runner.dispatch(decoding(0))
    assert first.fetch().ids.tolist() == [[10]]
    assert second.fetch().ids.tolist() == [[-1]], "it had ended"


def test_paced_rows_keep_their_time_while_others_join() -> None:
    runner = make(interval_s=0.05)
    assert run(runner, joining(9)) == ([10], [0])
    assert run(runner, joining(9, 9, decode=slots(0))) == ([10, 10, -1], [0, 0, 0]), "not due yet"
    assert run(runner, decoding(0, 1)) == ([11, 11], [0, 0])
