"""Tools: listed as OpenAI lists functions, run with their arguments checked."""

import asyncio
import time
from typing import Any

from driver import ask, echo_server, play

from penstock.server.app import PenstockServer


def add(a: int, b: int = 1) -> int:
    """Adds two numbers."""
    return a + b


async def wait(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "waited"


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def fail() -> None:
    raise RuntimeError("secret")


def tool_server(**given: Any) -> PenstockServer:
    server = echo_server(**given)
    for function in (add, wait, sleep, fail):
        server.tools.register(function)
    return server


async def execute(server: PenstockServer, name: str, arguments: Any = None) -> Any:
    return await ask(server, "POST", "/v1/tools/execute", {"name": name, "arguments": arguments})


def test_none_by_default() -> None:
    server = echo_server()

    async def scene() -> None:
        assert (await ask(server, "GET", "/v1/tools")).json() == {"object": "list", "data": []}

    play(server, scene)


def test_they_are_listed_with_a_schema() -> None:
    server = tool_server()

    async def scene() -> None:
        tools = (await ask(server, "GET", "/v1/tools")).json()["data"]
        function = tools[0]["function"]
        assert (tools[0]["type"], function["name"], function["description"]) == ("function", "add", "Adds two numbers.")
        assert function["parameters"]["properties"]["a"]["type"] == "integer"
        assert function["parameters"]["required"] == ["a"]

    play(server, scene)


def test_they_run_with_checked_arguments() -> None:
    server = tool_server()

    async def scene() -> None:
        assert (await execute(server, "add", {"a": 2, "b": 3})).json()["result"] == 5
        assert (await execute(server, "add", '{"a": 2}')).json()["result"] == 3
        assert (await execute(server, "wait", {"seconds": 0})).json()["result"] == "waited"
        for arguments in ({"a": "x"}, {}, {"a": 1, "c": 2}, "[1]", "{"):
            refused = await execute(server, "add", arguments)
            assert refused.status == 400, arguments
            assert refused.json()["error"]["param"].startswith("arguments")

    play(server, scene)


def test_an_unknown_one_is_404() -> None:
    server = tool_server()

    async def scene() -> None:
        answer = await execute(server, "missing")
        assert answer.status == 404
        assert answer.json()["error"]["param"] == "name"

    play(server, scene)


def test_one_that_fails_or_takes_too_long() -> None:
    server = tool_server(request_timeout_s=0.1)

    async def scene() -> None:
        failed = await execute(server, "fail")
        assert failed.status == 500
        assert b"secret" not in failed.body
        for name in ("wait", "sleep"):
            assert (await execute(server, name, {"seconds": 1})).status == 504, name

    play(server, scene)


def test_the_routes_can_be_left_out() -> None:
    server = echo_server()
    server.enable_function_calling = False

    async def scene() -> None:
        assert (await ask(server, "GET", "/v1/tools")).status == 404

    play(server, scene)
