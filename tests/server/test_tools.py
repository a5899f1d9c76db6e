"""Tools: listed as OpenAI lists functions, run with their arguments checked."""

import asyncio
import threading
import time
from functools import partial
from typing import Any

import pytest
from driver import CHAT, HELLO, ask, echo_server, play, until
from pydantic import BaseModel

from penstock.server.app import PenstockServer
from penstock.server.tools import ToolRegistry


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


def test_slow_tools_stop_no_prompts_and_keep_to_their_time() -> None:
    gate = threading.Event()
    server = tool_server(tokenizer_threads=1)
    server.tools = ToolRegistry(timeout_s=0.05, num_threads=2)
    server.tools.register(gate.wait, name="stuck")
    server.tools.register(wait)

    async def scene() -> None:
        slow = [asyncio.create_task(execute(server, "stuck")) for _ in range(2)]
        long = {**HELLO, "messages": [{"role": "user", "content": "Hello " * 200}]}
        assert (await ask(server, "POST", CHAT, long)).status == 200, "it is read on a thread of the prompts' own"
        for answer in await asyncio.gather(*slow):
            assert (answer.status, answer.json()["error"]["code"]) == (504, "deadline_exceeded")
            assert "stuck" in answer.json()["error"]["message"]
        assert (await execute(server, "wait", {"seconds": 1})).status == 504
        assert server.tools._pool._num_jobs == 2, "their threads count until they end"
        gate.set()
        await until(lambda: server.tools._pool._num_jobs == 0)

    try:
        play(server, scene)
    finally:
        gate.set()


def test_a_tool_may_time_out_by_itself() -> None:
    server = tool_server()

    def impatient() -> None:
        raise TimeoutError

    server.tools.register(impatient)

    async def scene() -> None:
        assert (await execute(server, "impatient")).status == 500

    play(server, scene)


class City(BaseModel):
    name: str


class Finder:
    def find(self, city: City, days: int = 1) -> str:
        return f"{city.name} {days}"

    async def find_later(self, city: City) -> str:
        return city.name


def forecast(city: City, days: int = 1, *, unit: str = "C", **more: int) -> str:
    return f"{city.name} {days} {unit} {sum(more.values())}"


@pytest.mark.parametrize(
    ("function", "arguments", "result"),
    [
        (forecast, {"city": {"name": "Rome"}, "days": "2", "a": 1, "b": 2}, "Rome 2 C 3"),
        (partial(forecast, unit="F"), {"city": {"name": "Rome"}}, "Rome 1 F 0"),
        (Finder().find, {"city": {"name": "Rome"}, "days": 3}, "Rome 3"),
        (Finder().find_later, {"city": {"name": "Rome"}}, "Rome"),
        (lambda text: text * 2, {"text": "ab"}, "abab"),
    ],
    ids=["function", "partial", "method", "async method", "lambda"],
)
def test_callables_of_every_kind_take_arguments_as_their_hints_say(
    function: Any, arguments: dict[str, Any], result: str
) -> None:
    server = echo_server()
    server.tools.register(function, name="tool")

    async def scene() -> None:
        answer = await execute(server, "tool", arguments)
        assert (answer.status, answer.json().get("result")) == (200, result), answer.body
        wrong = {name: {"name": 5} for name in arguments} | {"zzz": "x"}
        assert (await execute(server, "tool", wrong)).status == 400

    play(server, scene)


def test_a_tool_that_fails_to_read_its_own_data_has_not_got_wrong_arguments() -> None:
    server = echo_server()

    def broken(days: int) -> City:
        return City.model_validate({"secret": days})

    async def broken_later(days: int) -> City:
        return broken(days)

    for function in (broken, broken_later):
        server.tools.register(function)

    async def scene() -> None:
        for name in ("broken", "broken_later"):
            failed = await execute(server, name, {"days": 1})
            assert (failed.status, failed.json()["error"]["code"]) == (500, "internal_error"), name
            assert b"secret" not in failed.body
            assert (await execute(server, name, {"days": "x"})).status == 400

    play(server, scene)
