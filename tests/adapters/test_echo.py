"""The echo engine: the same text to everyone, on schedule or as fast as it is taken, and nothing left behind."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import orjson
import pytest
from hubs import load_prompt, make_hub, open_stream, request_for, settings

from penstock import _core
from penstock.adapters.base import ReturnSample
from penstock.adapters.echo import EchoEngine
from penstock.adapters.echo_text import TEXT
from penstock.errors import ApiError
from penstock.generation import EngineState, SamplingParams
from penstock.prompt import PromptEncoder

Scene = Callable[[EchoEngine], Coroutine[Any, Any, None]]


@pytest.fixture(scope="module")
def prompt() -> PromptEncoder:
    return load_prompt()


def play(prompt: PromptEncoder, scene: Scene, **given: Any) -> None:
    hub, metrics = make_hub(prompt)
    engine = EchoEngine(settings(engine="echo", **given), prompt, hub, metrics.model("echo"), "echo")

    async def run() -> None:
        engine.attach()
        while engine.status().state is not EngineState.READY:
            await asyncio.sleep(0.001)
        await asyncio.wait_for(scene(engine), timeout=20)

    try:
        asyncio.run(run())
    finally:
        engine.stop()
    assert hub.num_open == 0
    assert engine.status().num_running == 0


async def whole(engine: EchoEngine, key: int) -> dict[str, Any]:
    outlets, status, body = engine.attach(), 0, b""
    while not status:
        body, status, _ = await outlets.next(key)
    assert status == 200
    answer: dict[str, Any] = orjson.loads(body)
    return answer


def test_every_choice_gets_the_text_up_to_its_limit(prompt: PromptEncoder) -> None:
    async def scene(engine: EchoEngine) -> None:
        key = open_stream(engine.hub, num_choices=3)
        engine.attach().follow(key)
        engine.submit(request_for(key, num_choices=3, max_tokens=200))
        answer = await whole(engine, key)
        texts = {choice["text"] for choice in answer["choices"]}
        assert len(texts) == 1
        assert (TEXT * 40).startswith(texts.pop())
        assert answer["usage"]["completion_tokens"] == 600
        assert {choice["finish_reason"] for choice in answer["choices"]} == {"length"}

    play(prompt, scene)


def test_every_token_shows_text(prompt: PromptEncoder) -> None:
    async def scene(engine: EchoEngine) -> None:
        key = open_stream(engine.hub, streamed=True)
        engine.attach().follow(key)
        engine.submit(request_for(key, max_tokens=300))
        outlets, status, events = engine.attach(), 0, 0
        while not status:
            frames, status, _ = await outlets.next(key)
            events += sum(b'"text":""' not in frame for frame in frames.split(b"\n\n") if b'"text"' in frame)
        assert events == 300

    play(prompt, scene)


def test_a_schedule_does_not_drift(prompt: PromptEncoder) -> None:
    async def scene(engine: EchoEngine) -> None:
        key = open_stream(engine.hub)
        began = time.monotonic()
        engine.attach().follow(key)
        engine.submit(request_for(key, max_tokens=100))
        await whole(engine, key)
        assert 0.49 <= time.monotonic() - began < 0.75

    play(prompt, scene, echo_interval_ms=5)


def test_unpaced_it_waits_for_a_slow_reader_without_spinning(prompt: PromptEncoder) -> None:
    async def scene(engine: EchoEngine) -> None:
        key = open_stream(engine.hub, streamed=True)
        engine.attach().follow(key)
        engine.submit(request_for(key, max_tokens=10_000))
        await asyncio.sleep(0.1)
        before = time.process_time()
        await asyncio.sleep(0.3)
        assert time.process_time() - before < 0.05
        frames, *_ = await engine.attach().next(key)
        assert 0 < len(frames) < 10_000
        await asyncio.sleep(0.05)
        assert engine.hub.take(key)[0], "room was made, so there is more"
        engine.cancel(key)
        engine.hub.cancel(key)
        while engine.status().num_running:
            await asyncio.sleep(0.001)

    play(prompt, scene)


def test_cancel_frees_what_runs_and_what_waits(prompt: PromptEncoder) -> None:
    async def scene(engine: EchoEngine) -> None:
        keys = [open_stream(engine.hub, num_choices=600) for _ in range(3)]
        for key in keys:
            engine.submit(request_for(key, num_choices=600, max_tokens=10_000))
        while engine.status().num_running < 1024:
            await asyncio.sleep(0.001)
        assert engine.status().num_waiting == 1800 - 1024
        for key in keys:
            engine.cancel(key)
            engine.hub.cancel(key)
        while engine.status().num_running or engine.status().num_waiting:
            await asyncio.sleep(0.001)

    play(prompt, scene, echo_interval_ms=10)


def test_a_full_queue_refuses_with_a_time_to_come_back(prompt: PromptEncoder) -> None:
    async def scene(engine: EchoEngine) -> None:
        keys = [open_stream(engine.hub, num_choices=1024) for _ in range(3)]
        engine.submit(request_for(keys[0], num_choices=1024, max_tokens=10_000))
        while engine.status().num_running < 1024:
            await asyncio.sleep(0.001)
        engine.submit(request_for(keys[1], num_choices=1024))
        with pytest.raises(ApiError) as refused:
            engine.submit(request_for(keys[2]))
        assert refused.value.kind == "server_overloaded"
        assert refused.value.retry_after_s is not None
        for key in keys:
            engine.cancel(key)
            engine.hub.cancel(key)
        while engine.status().num_running:
            await asyncio.sleep(0.001)

    play(prompt, scene, echo_interval_ms=10, max_queued_requests=1)


def test_generate_gives_samples_without_a_server(prompt: PromptEncoder) -> None:
    async def scene(engine: EchoEngine) -> None:
        params = SamplingParams(max_tokens=12, n=2)
        samples = await engine.generate(["a", "b"], params)
        assert isinstance(samples, list)
        assert [sample.index for sample in samples] == [0, 1, 2, 3]
        assert {(sample.num_tokens, sample.finish_reason) for sample in samples} == {(12, "length")}

        streamed = await engine.generate("a", SamplingParams(max_tokens=12), stream=True)
        assert not isinstance(streamed, list)
        deltas: list[ReturnSample] = [sample async for batch in streamed for sample in batch]
        assert "".join(delta.text for delta in deltas) == samples[0].text
        assert [delta.finish_reason for delta in deltas if delta.finish_reason] == ["length"]

    play(prompt, scene)


@pytest.mark.parametrize("stop", ["turns the stone!", "the wheel, and"])
@pytest.mark.parametrize("stream", [False, True])
def test_generate_counts_tokens_whose_text_is_held_back(prompt: PromptEncoder, stop: str, stream: bool) -> None:
    """All that the wire's usage counts, while text waits for what may become a stop string, and what it ate."""

    async def scene(engine: EchoEngine) -> None:
        key = open_stream(engine.hub, stop=[stop])
        engine.attach().follow(key)
        engine.submit(request_for(key, max_tokens=40))
        answer = await whole(engine, key)
        given = await engine.generate("a", SamplingParams(max_tokens=40, stop=(stop,)), stream=stream)
        samples = given if isinstance(given, list) else [sample async for batch in given for sample in batch]
        assert "".join(sample.text for sample in samples) == answer["choices"][0]["text"]
        assert sum(sample.num_tokens for sample in samples) == answer["usage"]["completion_tokens"]

    play(prompt, scene)


async def _consume(samples: AsyncIterator[list[ReturnSample]]) -> None:
    async for _ in samples:
        pass


def test_generate_raises_the_error_that_ended_its_stream(prompt: PromptEncoder) -> None:
    async def scene(engine: EchoEngine) -> None:
        streamed = await engine.generate("a", SamplingParams(max_tokens=10_000), stream=True)
        assert not isinstance(streamed, list)
        await anext(streamed)
        key = 1 << _core.CHOICE_BITS
        engine.cancel(key)
        engine.hub.fail(key, "deadline_exceeded", "no luck", param="p")
        engine.attach().wake()
        with pytest.raises(ApiError, match="no luck") as raised:
            await _consume(streamed)
        assert (raised.value.kind, raised.value.param) == ("deadline_exceeded", "p")

    play(prompt, scene)


def test_leaving_a_generator_early_cancels(prompt: PromptEncoder) -> None:
    async def scene(engine: EchoEngine) -> None:
        streamed = await engine.generate("a", SamplingParams(max_tokens=10_000), stream=True)
        assert not isinstance(streamed, list)
        async for _ in streamed:
            break
        await streamed.aclose()  # type: ignore[attr-defined]  # an async generator
        while engine.status().num_running:
            await asyncio.sleep(0.001)

    play(prompt, scene)


def test_a_generator_that_nobody_iterates_opens_no_stream(prompt: PromptEncoder) -> None:
    async def scene(engine: EchoEngine) -> None:
        await engine.generate("Hello", SamplingParams(max_tokens=5), stream=True)
        assert engine.hub.num_open == 0

    play(prompt, scene)


def test_what_the_engine_refuses_leaves_no_stream_and_counts_as_nothing(prompt: PromptEncoder) -> None:
    async def scene(engine: EchoEngine) -> None:
        with pytest.raises(ApiError, match="min_tokens"):
            await engine.generate("Hello", SamplingParams(max_tokens=5, min_tokens=6))
        assert engine.hub.num_open == 0
        assert engine._counters.get("penstock_cancelled_requests_total") == 0

    play(prompt, scene)


def test_generate_works_in_one_loop_after_another_and_not_in_two_at_once(prompt: PromptEncoder) -> None:
    hub, metrics = make_hub(prompt)
    engine = EchoEngine(settings(engine="echo"), prompt, hub, metrics.model("echo"), "echo")
    params = SamplingParams(max_tokens=5)

    async def text() -> str:
        (sample,) = await asyncio.wait_for(engine.generate("a", params), timeout=20)  # type: ignore[misc]
        return sample.text

    async def beside_another_loop() -> None:
        await text()
        with pytest.raises(RuntimeError, match="works for another event loop"):
            await asyncio.to_thread(asyncio.run, text())

    try:
        assert asyncio.run(text()) == asyncio.run(text())
        asyncio.run(beside_another_loop())
    finally:
        engine.stop()
    assert hub.num_open == 0


_LEAVES_WHILE_THE_ENGINE_WORKS = """
import asyncio, atexit
from hubs import load_prompt, make_hub, settings
from penstock.adapters.echo import EchoEngine
from penstock.generation import SamplingParams

atexit.register(lambda: print("works" if engine._thread._thread.is_alive() else "has ended"))  # after all others
prompt = load_prompt()
hub, metrics = make_hub(prompt)
engine = EchoEngine(settings(engine="echo"), prompt, hub, metrics.model("echo"), "echo")

async def begin():
    async for _ in await engine.generate("a", SamplingParams(max_tokens=30_000), stream=True):
        return

asyncio.run(begin())
"""


def test_the_engines_thread_ends_before_the_interpreter() -> None:
    """One that is within XLA then aborts the process, and a script that had its answers ends by SIGABRT."""
    command = [sys.executable, "-c", _LEAVES_WHILE_THE_ENGINE_WORKS]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "has ended\n", done.stderr
