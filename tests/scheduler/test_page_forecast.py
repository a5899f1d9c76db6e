"""The forecast in a storm of requests that use little of what they may, and the estimate behind it."""

import random

import numpy as np
import pytest
from fakes import FakeHub, make_request, small_capacity

from penstock.adapters.echo_runner import EchoRunner
from penstock.scheduler.scheduler import Scheduler
from penstock.scheduler.use_forecast import UseForecast

#: Of four tokens. By what they may use, fourteen requests would fit at a time.
NUM_PAGES = 400


def storm(seed: int, draw_length) -> tuple[int, int, float]:
    """400 requests that may make 100 tokens each, and end by text: how many there were, how often one lost its pages,
    and how many ran at a time."""
    rng = random.Random(seed)
    capacity = small_capacity(num_slots=64, num_pages=NUM_PAGES, max_model_len=120, max_prefill_tokens=64)
    hub = FakeHub()
    scheduler = Scheduler(EchoRunner(capacity, np.arange(3, dtype=np.int32)), hub, max_queued_requests=1000)
    for stream in range(1, 401):
        prompt = [rng.randrange(20) for _ in range(rng.randint(1, 12))]
        scheduler.submit(make_request(stream, [prompt], 100, seed=stream))
        hub.text_ends[stream << 12] = draw_length(rng)
    nums_running = []
    while not scheduler.is_idle:
        scheduler.step()
        if scheduler.gauges[1]:
            nums_running.append(scheduler.gauges[0])
    scheduler.check_integrity()
    assert len(hub.ends) == 400
    return 400, scheduler.num_preemptions, float(np.mean(nums_running[len(nums_running) // 2 :]))


@pytest.mark.parametrize(
    ("draw_length", "least_running"),
    [
        (lambda rng: min(int(rng.expovariate(1 / 8)) + 1, 100), 40),  # short answers
        (lambda rng: 90 if rng.random() < 0.1 else rng.randint(1, 10), 18),  # one in ten is long
    ],
    ids=["short", "mixed"],
)
def test_short_answers_run_together_and_hardly_anybody_gives_way(draw_length, least_running):
    num, num_preempted, num_running = storm(0, draw_length)
    assert num_preempted <= num / 100
    assert num_running > least_running


def test_everybody_is_taken_to_use_all_until_something_is_known():
    means, variances = UseForecast().remaining(np.array([0.0, 0.3, 1.0]))
    np.testing.assert_allclose(means, [1.0, 0.7, 0.0])
    np.testing.assert_allclose(variances, 0, atol=1e-12)


def test_what_is_left_is_learnt_from_those_that_came_as_far():
    """Nine in ten use a hundredth, the tenth one nine tenths: who has used more than most is one of the long ones."""
    forecast, rng = UseForecast(), random.Random(2)
    for _ in range(3000):
        forecast.count_end(0.9 if rng.random() < 0.1 else 0.01)
    means, _ = forecast.remaining(np.array([0.0, 0.05, 0.5, 0.89]))
    assert 0.03 < means[0] < 0.25
    np.testing.assert_allclose(means[1:], [0.85, 0.4, 0.02], atol=0.06)


def test_estimates_stay_in_bounds_whatever_came():
    rng = np.random.default_rng(0)
    forecast = UseForecast()
    for _ in range(500):
        forecast.count_end(float(rng.beta(0.3, 0.9)))
        shares = rng.uniform(0, 1, 20)
        means, variances = forecast.remaining(shares)
        assert (means >= 0).all()
        assert (means <= 1 - shares + 1e-9).all()
        assert (variances >= 0).all()
        assert (variances <= 0.26).all()


def test_ends_are_counted_together_as_one_after_the_other():
    """The twin is asked after every end, so that it never has two to count."""
    rng = np.random.default_rng(1)
    forecast, twin = UseForecast(), UseForecast()
    asked = np.linspace(0, 1, 40)
    for end in range(1, 401):
        share = float(rng.choice([rng.uniform(), 0.0, 1.0, 2.0**-6]))
        forecast.count_end(share)
        twin.count_end(share)
        told = twin.remaining(asked)
        if rng.random() < 0.02 or end == 400:
            np.testing.assert_allclose(forecast.remaining(asked), told, rtol=1e-9, atol=1e-9)
