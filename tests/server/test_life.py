"""Loading, ready, busy, failed, draining: what each state answers."""

import asyncio
from typing import Any

import pytest
from driver import CHAT, HELLO, PROMPT, ask, echo_server, is_idle, play, start, until
from hubs import make_hub, settings

from penstock.adapters.echo import EchoEngine
from penstock.generation import EngineState, EngineStatus
from penstock.server.app import PenstockServer

LONG = {**HELLO, "max_tokens": 5000, "stream": True}


class StatedEngine(EchoEngine):
    """Says of itself what the test wants."""

    stated = EngineStatus(state=EngineState.READY)

    def status(self) -> EngineStatus:
        return self.stated

    @property
    def state(self) -> EngineState:
        return self.stated.state


def stated_server(**state: Any) -> PenstockServer:
    chosen = settings(engine="echo")
    hub, metrics = make_hub(PROMPT)
    engine = StatedEngine(chosen, PROMPT, hub, metrics.model("echo"), "echo")
    engine.stated = EngineStatus(**state)
    return PenstockServer(chosen, {"echo": engine}, metrics)


@pytest.mark.parametrize(
    ("state", "health", "ready", "work", "code"),
    [
        ({"state": EngineState.LOADING, "detail": "compiled 7/12"}, 200, 503, 503, "model_loading"),
        ({"state": EngineState.READY}, 200, 200, 200, None),
        ({"state": EngineState.READY, "num_waiting": 3}, 200, 200, 200, None),
        ({"state": EngineState.READY, "heartbeat_age_s": 61.0}, 503, 200, 200, None),
        ({"state": EngineState.ERROR, "detail": "out of memory"}, 503, 503, 503, "engine_dead"),
    ],
    ids=["loading", "ready", "busy", "stuck", "failed"],
)
def test_a_state_and_its_answers(
    *, state: dict[str, Any], health: int, ready: int, work: int, code: str | None
) -> None:
    server = stated_server(**state)

    async def scene() -> None:
        assert (await ask(server, "GET", "/health")).status == health
        probe = await ask(server, "GET", "/ready")
        assert probe.status == ready
        if ready == 503:
            assert probe.json()["detail"] == state["detail"]
        await asyncio.sleep(0.05)  # the echo engine behind it is ready by then
        answer = await ask(server, "POST", CHAT, HELLO)
        assert answer.status == work
        if code is not None:
            assert answer.json()["error"]["code"] == code
            assert int(answer.headers["retry-after-ms"]) > 0
            assert answer.headers["x-should-retry"] == "true"

    async def run() -> None:
        await server.startup()
        try:
            await scene()
        finally:
            await server.shutdown()

    asyncio.run(run())


def test_status_words() -> None:
    assert stated_server(state=EngineState.READY).status.value == "starting", "not started yet"
    for state, word in [
        ({"state": EngineState.LOADING}, "starting"),
        ({"state": EngineState.READY, "num_waiting": 1}, "busy"),
        ({"state": EngineState.ERROR}, "error"),
    ]:
        server = stated_server(**state)
        server._is_started = True
        assert server.status.value == word
        server.begin_drain()
        assert server.status.value == "shutting_down"


def test_a_drain_refuses_new_work_and_lets_streams_finish() -> None:
    server = echo_server(echo_interval_ms=5)

    async def scene() -> None:
        client = start(server, {**LONG, "max_tokens": 60})
        await client.got.wait()
        server.begin_drain()
        assert (await ask(server, "GET", "/health")).status == 200
        assert (await ask(server, "GET", "/ready")).status == 503
        refused = await ask(server, "POST", CHAT, HELLO)
        assert (refused.status, refused.json()["error"]["code"]) == (503, "draining")
        assert "retry-after-ms" in refused.headers
        assert not client.answered.done()
        await server.drain(5)
        assert client.answered.done()
        assert client.events[-1]["choices"][0]["finish_reason"] == "length"

    play(server, scene)


def test_a_drain_that_is_over_ends_streams_with_an_error() -> None:
    server = echo_server(echo_interval_ms=5)

    async def scene() -> None:
        streamed, plain = start(server, LONG), start(server, {**LONG, "stream": False})
        await streamed.got.wait()
        await until(lambda: server.models["echo"].engine.status().num_running == 2)
        server.begin_drain()
        await asyncio.wait_for(server.drain(0.05), timeout=1)
        await asyncio.gather(streamed.answered, plain.answered)
        assert streamed.events[-1]["error"]["code"] == "draining"
        assert (plain.status, plain.json()["error"]["code"]) == (503, "draining")
        await until(lambda: is_idle(server))

    play(server, scene)


def test_hooks_run_once_each() -> None:
    calls: list[str] = []

    class Hooked(PenstockServer):
        async def on_startup(self) -> None:
            calls.append("up")

        async def on_shutdown(self) -> None:
            calls.append("down")

    async def scene() -> None:
        assert calls == ["up"]

    play(echo_server(Hooked), scene)
    assert calls == ["up", "down"]


def test_lifespan_starts_and_stops() -> None:
    server = echo_server()

    async def run() -> list[str]:
        asked: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        told: list[str] = []
        for kind in ("lifespan.startup", "lifespan.shutdown"):
            asked.put_nowait({"type": kind})

        async def send(message: Any) -> None:
            told.append(message["type"])

        await server({"type": "lifespan"}, asked.get, send)
        return told

    assert asyncio.run(run()) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
