"""The engine's thread around a real scheduler and a fake device."""

import sys
import threading
import time
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "scheduler"))

from fakes import FakeHub, FakeRunner, make_request, naive_tokens, small_capacity

from penstock.adapters.engine_thread import EngineThread
from penstock.errors import ApiError, ModelError
from penstock.generation import EngineState
from penstock.scheduler.scheduler import Scheduler


class Engine:
    """A thread with its parts at hand, and the states it was in whenever it called."""

    def __init__(self):
        self.runner, self.hub = FakeRunner(small_capacity()), FakeHub()
        self.thread = EngineThread(lambda report: Scheduler(self.runner, self.hub))
        self.calls = []
        self.called = threading.Condition()

    def start(self):
        self.thread.start(self._on_step)
        return self

    def _on_step(self):
        with self.called:
            self.calls.append(self.thread.state)
            self.called.notify_all()

    def wait_until(self, condition):
        with self.called:
            assert self.called.wait_for(condition, 10)


@pytest.fixture
def engine():
    engine = Engine()
    yield engine
    engine.thread.stop()


def test_ready_after_loading_and_work_is_done(engine):
    reports = []

    def load(report):
        report("compiled 7/12")
        reports.append(engine.thread.detail)
        return Scheduler(engine.runner, engine.hub)

    engine.thread = EngineThread(load)
    assert engine.thread.state is EngineState.LOADING
    engine.start()
    engine.wait_until(lambda: EngineState.READY in engine.calls)
    assert (reports, engine.thread.detail) == (["compiled 7/12"], "")
    request = make_request(1, [[1, 2]], 6, n=2, seed=3)
    engine.thread.scheduler.submit(request)
    engine.wait_until(lambda: len(engine.hub.ends) == 2)
    assert engine.hub.tokens[(1 << 12) | 1] == naive_tokens(request, 1, stop_ids=())[0]
    engine.thread.stop()
    assert engine.thread.state is EngineState.STOPPED
    assert "penstock-engine" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize(
    ("error", "detail", "is_traced"),
    [
        (ModelError("No config.json in /models/x."), "No config.json in /models/x.", False),
        (RuntimeError("RESOURCE_EXHAUSTED: out of memory\nat line 3"), "RESOURCE_EXHAUSTED: out of memory", True),
    ],
)
def test_a_failed_load_says_why_in_one_line(engine, error, detail, is_traced, caplog):
    def load(report):
        raise error

    engine.thread = EngineThread(load)
    engine.start()
    engine.wait_until(lambda: engine.calls == [EngineState.ERROR])
    assert detail in engine.thread.detail
    assert "\n" not in engine.thread.detail
    assert ("Traceback" in caplog.text) is is_traced
    engine.thread.stop()
    assert engine.thread.state is EngineState.ERROR  # stopping hides no failure


def test_stopping_in_the_middle_of_loading_is_quick(engine):
    is_loading = threading.Event()

    def load(report):
        while True:
            report("compiled 1/99")
            is_loading.set()
            time.sleep(0.01)

    engine.thread = EngineThread(load)
    engine.start()
    is_loading.wait(5)
    start = time.monotonic()
    engine.thread.stop()
    assert time.monotonic() - start < 1
    assert engine.calls == [EngineState.STOPPED]


def test_stopping_fails_what_runs_and_waits(engine):
    goes_on = threading.Event()
    dispatch = engine.runner.dispatch
    engine.runner.dispatch = lambda plan: (goes_on.wait(5), dispatch(plan))[1]
    engine.start()
    engine.wait_until(lambda: EngineState.READY in engine.calls)
    for stream in range(1, 8):
        engine.thread.scheduler.submit(make_request(stream, [[stream]], 40))
    stopper = threading.Thread(target=engine.thread.stop)
    stopper.start()
    while not engine.thread.scheduler.queue.is_closed:
        time.sleep(0.001)
    goes_on.set()
    stopper.join(5)
    assert set(engine.hub.failed.values()) == {"draining"}
    assert len(engine.hub.failed) == 7
    assert engine.hub.gauges == (0, 0, 0)


def test_an_idle_engine_sleeps_and_is_not_stuck_but_a_hanging_step_is(engine):
    engine.start()
    engine.wait_until(lambda: EngineState.READY in engine.calls)
    steps = []
    step = engine.thread.scheduler.step
    engine.thread.scheduler.step = lambda: (steps.append(1), step())[1]
    time.sleep(0.1)
    assert (steps, engine.thread.heartbeat_age_s) == ([], 0.0)
    engine.thread.scheduler.cancel(99 << 12)  # of a stream that has ended meanwhile
    time.sleep(0.1)
    assert len(steps) == 1

    goes_on = threading.Event()
    dispatch = engine.runner.dispatch
    engine.runner.dispatch = lambda plan: (goes_on.wait(5), dispatch(plan))[1]
    engine.thread.scheduler.submit(make_request(1, [[1]], 4))
    time.sleep(0.1)
    assert engine.thread.heartbeat_age_s > 0.05
    goes_on.set()
    engine.wait_until(lambda: engine.hub.ends)
    time.sleep(0.05)
    assert engine.thread.heartbeat_age_s == 0.0


def test_an_engine_beyond_repair_refuses_from_then_on(engine, caplog):
    engine.runner.faults = ["span"] * 3
    engine.start()
    engine.wait_until(lambda: EngineState.READY in engine.calls)
    with pytest.raises(ApiError) as refusal:  # noqa: PT012 - which of them comes too late is a race
        for stream in range(1, 1000):
            engine.thread.scheduler.submit(make_request(stream, [[1]], 4))
            time.sleep(0.002)
    assert refusal.value.kind == "engine_dead"
    engine.wait_until(lambda: engine.calls[-1] is EngineState.ERROR)
    assert "fault injected into span" in engine.thread.detail
    assert set(engine.hub.failed.values()) <= {"engine_error", "engine_dead"}
    assert engine.hub.gauges == (0, 0, 0)
