"""What holds a request's body, and for how long."""

import gc
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from driver import CHAT, HELLO, ask, echo_server, play, until
from processes import Launch
from raw_http import connection, post, read_answer

from penstock import ApiError, PenstockServer, Request

LONG = "x" * 100_000
TOO_LONG = {"model": "echo", "prompt": "word " * 50_000}


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def alive(*kinds: type) -> int:
    return sum(isinstance(each, kinds) for each in gc.get_objects())


class BrokenError(Exception):
    """Of no other test: their log records may live on."""


class Broken(PenstockServer):
    async def get_version(self, raw_request: Request) -> Any:
        body = await raw_request.body()
        raise BrokenError(len(body))


@pytest.mark.parametrize(
    ("path", "content", "status"),
    [
        (CHAT, {**HELLO, "temperature": "hot"}, 400),
        (CHAT, {**HELLO, "user": LONG, "temperature": "hot"}, 400),
        (CHAT, {**HELLO, "user": LONG, "model": "other"}, 404),
        ("/v1/completions", TOO_LONG, 400),
        ("/v1/tools/execute", {"name": "none", "arguments": {"x": LONG}}, 404),
    ],
    ids=["on the loop", "on the pool", "no model", "in the tokenizer", "no tool"],
)
def test_a_refused_body_is_gone_without_the_collector(no_collector: None, path: str, content: Any, status: int) -> None:
    server = echo_server()

    async def scene() -> None:
        for _ in range(3):
            assert (await ask(server, "POST", path, content)).status == status
        await until(lambda: not alive(ApiError, Request))  # a pool's thread lets go a moment after its answer

    play(server, scene)


def test_a_failed_handler_leaves_nothing(no_collector: None) -> None:
    server = echo_server(Broken)
    logging.disable()  # a log record holds its exception

    async def scene() -> None:
        assert (await ask(server, "GET", "/version")).status == 500
        await until(lambda: not alive(BrokenError, Request))

    try:
        play(server, scene)
    finally:
        logging.disable(logging.NOTSET)


def worker_rss(server: Launch) -> int:
    """Resident bytes of the server's processes together."""
    pids = [server.process.pid]
    for pid in pids:
        pids += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 for pid in pids)


def test_many_refused_large_bodies_take_no_memory(echo_server: Launch) -> None:
    body = json.dumps({**HELLO, "user": "x" * (1 << 20), "temperature": "hot"}).encode()
    with connection(echo_server) as sock:
        before = 0
        for number in range(200):
            sock.sendall(post(CHAT, body))
            assert read_answer(sock).status == 400
            before = before or (worker_rss(echo_server) if number == 20 else 0)
        assert worker_rss(echo_server) - before < 60 << 20
