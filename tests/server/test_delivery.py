"""How a generation ends: its time limit, a reader that stalls, a client that leaves, and silence in between."""

import asyncio

import pytest
from driver import HELLO, ask, echo_server, is_idle, play, start, until

LONG = {**HELLO, "max_tokens": 5000}


def test_a_stream_out_of_time_says_so_and_ends() -> None:
    server = echo_server(echo_interval_ms=10, request_timeout_s=0.15)

    async def scene() -> None:
        client = start(server, {**LONG, "stream": True})
        await client.answered
        assert client.status == 200
        assert client.events[-1]["error"]["code"] == "deadline_exceeded"
        assert len(client.events) > 5
        assert client.is_complete
        await until(lambda: is_idle(server))

    play(server, scene)


def test_a_plain_answer_out_of_time_is_504_and_not_worth_a_retry() -> None:
    server = echo_server(echo_interval_ms=10)

    async def scene() -> None:
        client = await ask(server, "POST", "/v1/chat/completions", LONG, x_request_timeout="0.1")
        assert client.status == 504
        assert client.json()["error"]["code"] == "deadline_exceeded"
        assert client.headers["x-should-retry"] == "false"
        await until(lambda: is_idle(server))

    play(server, scene)


@pytest.mark.parametrize("is_streamed", [False, True], ids=["plain", "stream"])
def test_a_client_that_leaves_ends_the_work(is_streamed: bool) -> None:
    server = echo_server(echo_interval_ms=5)

    async def scene() -> None:
        client = start(server, {**LONG, "stream": is_streamed})
        await until(lambda: server.models["echo"].engine.status().num_running == 1)
        client.has_left.set()
        await asyncio.wait_for(client.answered, timeout=1)
        await until(lambda: is_idle(server))
        assert server.models["echo"].metrics.get("penstock_cancelled_requests_total") == 1
        assert not server.models["echo"].deliveries

    play(server, scene)


def test_a_body_that_never_ends_runs_out_of_time() -> None:
    server = echo_server(request_timeout_s=0.1)

    async def scene() -> None:
        client = start(server, HELLO, content_length="1000")
        client.is_whole = False
        await asyncio.wait_for(client.answered, timeout=1)
        assert (client.status, client.json()["error"]["code"]) == (504, "deadline_exceeded")

    play(server, scene)


def test_nothing_is_left_after_a_storm() -> None:
    server = echo_server(echo_interval_ms=1)

    async def scene() -> None:
        async def one(number: int) -> None:
            client = start(
                server, {**LONG, "stream": number % 2 == 0, "max_tokens": 1 + number % 50, "n": 1 + number % 3}
            )
            if number % 3:
                await asyncio.sleep(number % 17 / 1000)
                client.has_left.set()
            await client.answered

        await asyncio.gather(*(one(number) for number in range(300)))
        await until(lambda: is_idle(server))
        assert not server.open_requests
        assert not server.models["echo"].deliveries
        outlets = server.models["echo"].outlets
        assert (outlets._waiters, outlets._sinks, outlets._lagging) == ({}, {}, {})

    play(server, scene)


def test_silence_is_filled_with_comments() -> None:
    server = echo_server(echo_interval_ms=300, keep_alive_s=0.05)

    async def scene() -> None:
        client = start(server, {**HELLO, "stream": True, "max_tokens": 3})
        await client.answered
        assert client.body.count(b": ping\n\n") > 3
        assert client.events[-1]["choices"][0]["finish_reason"] == "length"

    play(server, scene)


def test_a_head_goes_out_before_the_first_token() -> None:
    server = echo_server(echo_interval_ms=10_000)

    async def scene() -> None:
        # The first token comes at once, the second in ten seconds; a second stream waits all that time for its first.
        first, second = start(server, {**LONG, "stream": True}), start(server, {**LONG, "stream": True})
        await asyncio.wait_for(asyncio.gather(first.got.wait(), second.got.wait()), timeout=2)
        assert second.status == 200
        for client in (first, second):
            client.has_left.set()
        await asyncio.gather(first.answered, second.answered)

    play(server, scene)


def test_a_reader_that_stalls_is_let_go() -> None:
    server = echo_server(keep_alive_s=0.05)

    async def scene() -> None:
        client = start(server, {**LONG, "stream": True})
        await until(lambda: len(client.pieces) > 1)
        client.may_read.clear()
        await asyncio.wait_for(client.answered, timeout=2)
        assert not client.is_complete
        await until(lambda: is_idle(server))
        assert server.models["echo"].metrics.get("penstock_cancelled_requests_total") == 1

    play(server, scene)


def test_a_reader_that_is_late_gets_everything() -> None:
    server = echo_server(keep_alive_s=5)

    async def scene() -> None:
        whole = await ask(server, "POST", "/v1/chat/completions", {**HELLO, "max_tokens": 300})
        client = start(server, {**HELLO, "stream": True, "max_tokens": 300})
        while not client.answered.done():
            client.may_read.clear()
            await asyncio.sleep(0.01)
            client.may_read.set()
            await asyncio.sleep(0.005)
        text = "".join(event["choices"][0]["delta"].get("content", "") for event in client.events)
        assert text == whole.json()["choices"][0]["message"]["content"]

    play(server, scene)


def test_a_reader_far_behind_is_cut_off_with_an_error() -> None:
    server = echo_server(echo_interval_ms=0.2, max_pending_bytes=4096, keep_alive_s=5)

    async def scene() -> None:
        client = start(server, {**LONG, "stream": True})
        await until(lambda: len(client.pieces) > 1)
        client.may_read.clear()
        await until(lambda: server.models["echo"].engine.status().num_running == 0)
        client.may_read.set()
        await asyncio.wait_for(client.answered, timeout=2)
        assert client.events[-1]["error"]["code"] == "slow_reader"
        await until(lambda: is_idle(server))

    play(server, scene)


def test_leaving_while_a_send_is_blocked_ends_both() -> None:
    server = echo_server(keep_alive_s=5)

    async def scene() -> None:
        client = start(server, {**LONG, "stream": True})
        await until(lambda: len(client.pieces) > 1)
        client.may_read.clear()
        await asyncio.sleep(0.05)
        client.has_left.set()
        await until(lambda: is_idle(server))
        client.may_read.set()  # as a host does once the client has gone
        await asyncio.wait_for(client.answered, timeout=1)

    play(server, scene)
