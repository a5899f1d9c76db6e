"""Each waiting stream is resumed once per wake, with its frames."""

import asyncio
import threading
from array import array
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
from hubs import load_prompt, make_hub, open_stream

from penstock import _core
from penstock.adapters.outlets import GONE, Outlets

Scene = Callable[[Outlets, _core.Hub], Coroutine[Any, Any, None]]


@pytest.fixture(scope="module")
def hub() -> _core.Hub:
    return make_hub(load_prompt())[0]


def play(hub: _core.Hub, scene: Scene, **options: Any) -> None:
    async def run() -> None:
        await asyncio.wait_for(scene(Outlets(hub, **options), hub), timeout=10)

    asyncio.run(run())


def followed(outlets: Outlets, **options: Any) -> int:
    key = open_stream(outlets.hub, **options)
    outlets.follow(key)
    return key


def push(hub: _core.Hub, key: int, text: str, end: int = 0) -> None:
    hub.push_text(key, text, num_tokens=1, end=end)


def test_a_waiting_stream_gets_what_another_thread_pushed(hub: _core.Hub) -> None:
    async def scene(outlets: Outlets, hub: _core.Hub) -> None:
        key = followed(outlets, streamed=True)

        def engine() -> None:
            push(hub, key, "hello")
            outlets.wake()

        threading.Thread(target=engine).start()
        frames, status, _ = await outlets.next(key)
        assert b'"hello"' in frames
        assert status == 0
        hub.cancel(key)

    play(hub, scene)


def test_a_burst_of_requests_does_not_hold_frames_up(hub: _core.Hub) -> None:
    async def scene(outlets: Outlets, hub: _core.Hub) -> None:
        key = followed(outlets, streamed=True)
        sent: list[bytes] = []

        def sink(frames: bytes, status: int, receipt: Any) -> bool:
            sent.append(frames)
            return True

        outlets.pour(key, sink)
        outlets.catch_up()
        assert not sent, "nobody has asked for a look"
        push(hub, key, "hello")
        outlets.wake()
        outlets.catch_up()
        assert len(sent) == 1, "sent before the loop had its turn"
        outlets.catch_up()
        await asyncio.sleep(0.01)
        assert len(sent) == 1
        hub.cancel(key)

    play(hub, scene)


def test_a_stream_that_was_sending_finds_its_frames_joined(hub: _core.Hub) -> None:
    async def scene(outlets: Outlets, hub: _core.Hub) -> None:
        key = followed(outlets, streamed=True)
        for text in ("one", "two"):
            push(hub, key, text)
            outlets.wake()
            await asyncio.sleep(0.01)  # nobody waits
        frames, *_ = await outlets.next(key)
        assert frames.count(b"data: ") == 2
        waiting = outlets.next(key)
        await asyncio.sleep(0.01)
        assert not waiting.done()
        push(hub, key, "three", end=_core.END_STOP)
        outlets.wake()
        frames, status, _ = await waiting
        assert (frames.endswith(_core.DONE), status) == (True, 200)

    play(hub, scene)


def test_many_wakes_are_one_look(hub: _core.Hub) -> None:
    looks: list[None] = []

    async def scene(outlets: Outlets, hub: _core.Hub) -> None:
        for _ in range(100):
            outlets.wake()
        await asyncio.sleep(0.01)
        assert len(looks) == 1
        outlets.wake()
        await outlets.turn()
        assert len(looks) == 2

    class Looked:
        take = hub.take

        def take_ready(self) -> list[int]:
            looks.append(None)
            return hub.take_ready()

    play(Looked(), scene)  # type: ignore[arg-type]  # all that a look needs


def test_closing_ends_the_wait(hub: _core.Hub) -> None:
    async def scene(outlets: Outlets, hub: _core.Hub) -> None:
        key = followed(outlets)
        waiting = outlets.next(key)
        outlets.close(key)
        assert await waiting == GONE
        outlets.close(key)
        hub.cancel(key)

    play(hub, scene)


def test_a_cancelled_wait_loses_no_frames(hub: _core.Hub) -> None:
    async def scene(outlets: Outlets, hub: _core.Hub) -> None:
        key = followed(outlets, streamed=True)
        outlets.next(key).cancel()
        push(hub, key, "kept")
        outlets.wake()
        await asyncio.sleep(0.01)
        assert b"kept" in hub.take(key)[0]
        hub.cancel(key)

    play(hub, scene)


def test_a_stream_that_takes_nothing_is_stalled(hub: _core.Hub) -> None:
    async def scene(outlets: Outlets, hub: _core.Hub) -> None:
        key = followed(outlets, streamed=True)
        push(hub, key, "unread")
        outlets.wake()
        await asyncio.sleep(0.05)
        assert outlets.stalled(0.01) == [key]
        assert outlets.stalled(10.0) == []
        await outlets.next(key)
        assert outlets.stalled(0.01) == []
        hub.cancel(key)

    play(hub, scene)


def test_tokens_of_a_step_reach_all_streams(hub: _core.Hub) -> None:
    async def scene(outlets: Outlets, hub: _core.Hub) -> None:
        keys = [followed(outlets) for _ in range(50)]
        waiting = [outlets.next(key) for key in keys]
        ids = array("i", [40] * 50)
        freed = hub.push_step(
            array("Q", keys),
            SimpleNamespace(ids=ids, ends=bytes([_core.END_LENGTH] * 50)),
            num_running=50,
            num_waiting=0,
            num_pages_in_use=0,
        )
        assert freed == []
        outlets.wake()
        answers = await asyncio.gather(*waiting)
        assert {status for _, status, _ in answers} == {200}
        assert len({body for body, *_ in answers}) == 1
        assert hub.num_open == 0

    play(hub, scene)


def test_a_sink_is_poured_into_while_it_is_open(hub: _core.Hub) -> None:
    async def scene(outlets: Outlets, hub: _core.Hub) -> None:
        key = followed(outlets, streamed=True)
        poured: list[tuple[bytes, int, _core.Receipt | None]] = []

        def sink(frames: bytes, status: int, receipt: _core.Receipt | None) -> bool:
            poured.append((frames, status, receipt))
            return len(poured) != 2

        push(hub, key, "before")
        outlets.wake()
        await outlets.turn()
        outlets.pour(key, sink)
        assert b"before" in poured[0][0]
        for text in ("second", "third", "fourth"):
            push(hub, key, text)
            outlets.wake()
            await outlets.turn()
        assert len(poured) == 2, "it closed itself"
        outlets.pour(key, sink)
        assert b"third" in poured[2][0]
        assert b"fourth" in poured[2][0]
        outlets.close(key)
        assert poured[3] == GONE
        hub.cancel(key)

    play(hub, scene)


def test_a_closed_stream_leaves_nothing(hub: _core.Hub) -> None:
    async def scene(outlets: Outlets, hub: _core.Hub) -> None:
        key = followed(outlets, streamed=True)
        push(hub, key, "late")
        hub.cancel(key)
        outlets.close(key)
        outlets.wake()
        await outlets.turn()
        assert outlets.stalled(-1.0) == []

    play(hub, scene)
