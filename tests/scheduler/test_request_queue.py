"""The bounded queue: order, bound, cancels, and the wait it promises."""

import threading

import pytest
from fakes import make_request

from penstock.errors import ApiError
from penstock.scheduler.drain_rate import DrainRate
from penstock.scheduler.request_queue import RequestQueue


def fill(queue, *streams, n=1):
    for stream in streams:
        queue.submit(make_request(stream, [[1]], 4, n=n))


def begin_all(queue):
    order = []
    while generation := queue.head():
        order.append((generation.stream_key >> 12, queue.begin_choice(generation)))
    return order


def test_requests_leave_in_order_and_choices_within_them():
    queue = RequestQueue(8)
    fill(queue, 3, 1, n=2)
    fill(queue, 2)
    assert queue.num_choices == 5
    assert begin_all(queue) == [(3, 0), (3, 1), (1, 0), (1, 1), (2, 0)]
    assert queue.num_choices == 0


def test_a_request_counts_once_whatever_n_is_and_one_too_many_is_refused():
    queue = RequestQueue(2)
    fill(queue, 1, 2, n=16)
    with pytest.raises(ApiError, match="busy") as refusal:
        fill(queue, 3)
    assert refusal.value.kind == "server_overloaded"
    assert refusal.value.retry_after_s == 2.0  # two requests at the first guess of one a second
    queue.begin_choice(queue.head())
    with pytest.raises(ApiError):
        fill(queue, 3)  # one choice began, fifteen still wait
    queue.cancel(1 << 12)
    fill(queue, 3)


def test_cancelling_in_the_queue_frees_the_place_and_tells_nobody():
    queue = RequestQueue(4)
    fill(queue, 1, 2, 3)
    queue.cancel(2 << 12)
    assert queue.take_cancelled() == set()
    assert begin_all(queue) == [(1, 0), (3, 0)]


def test_cancelling_what_has_begun_reaches_the_engine_once():
    queue = RequestQueue(4)
    fill(queue, 1, n=2)
    generation = queue.head()
    queue.begin_choice(generation)
    queue.cancel(1 << 12)
    queue.cancel(1 << 12)
    assert queue.head() is None
    assert queue.begin_choice(generation) is None
    assert (queue.take_cancelled(), queue.take_cancelled(), queue.num_choices) == ({1 << 12}, set(), 0)


@pytest.mark.parametrize("wake", [lambda q: fill(q, 1), lambda q: q.cancel(5 << 12), RequestQueue.close])
def test_an_idle_engine_sleeps_until_there_is_something_to_do(wake):
    queue = RequestQueue(4)
    sleeper = threading.Thread(target=queue.wait)
    sleeper.start()
    sleeper.join(0.05)
    assert sleeper.is_alive()
    wake(queue)
    sleeper.join(5)
    assert not sleeper.is_alive()


def test_a_closed_queue_refuses():
    queue = RequestQueue(4)
    fill(queue, 1)
    queue.close()
    with pytest.raises(ApiError) as refusal:
        fill(queue, 2)
    assert refusal.value.kind == "engine_dead"
    assert len(queue.drop_all()) == 1
    assert queue.num_choices == 0


def test_the_promised_wait_follows_the_measured_rate():
    rate = DrainRate()
    assert rate.time_for(5, 0.0) == 5.0
    rate.restart(100.0)
    for second in range(1, 11):
        rate.count_end(100.0 + second / 4)  # four requests a second
    assert rate.time_for(40, 102.5) == pytest.approx(10.0)
    assert rate.time_for(40, 105.0) == pytest.approx(20.0)  # nothing ended since: slower than it seemed
    assert rate.time_for(100_000, 102.5) == 60.0
    assert rate.time_for(0, 102.5) == 0.1


def test_an_idle_hour_does_not_slow_the_promise():
    rate = DrainRate()
    rate.restart(0.0)
    for end in range(1, 200):
        rate.count_end(end / 10)
    assert rate.time_for(10, 19.9) == pytest.approx(1.0)
    rate.restart(3600.0)
    assert rate.time_for(10, 3600.0) == pytest.approx(1.0, rel=0.05)
