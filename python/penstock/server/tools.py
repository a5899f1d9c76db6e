"""Python functions that clients may list and call: none, unless the server's owner registers them."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any

from pydantic import TypeAdapter, ValidationError, validate_call

from penstock.errors import ApiError
from penstock.http.worker_pool import WorkerPool
from penstock.protocol import FunctionDefinition, ToolDefinition

logger = logging.getLogger("penstock.tools")

#: Calls of tools that run or wait.
_MAX_CALLS = 64


@dataclass(frozen=True, slots=True)
class Tool:
    """A function, what clients are told of it, and a check that gives arguments as the function takes them."""

    function: Callable[..., Any]
    definition: ToolDefinition
    check: Callable[..., tuple[tuple[Any, ...], dict[str, Any]]]

    def call(self, arguments: dict[str, Any]) -> Any:
        """What the function returns. Raises ApiError on arguments that do not fit; all else is the function's own."""
        try:
            args, kwargs = self.check(**arguments)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(["arguments", *map(str, first["loc"])])
            raise ApiError("invalid_value", f"'{where}': {first['msg']}.", param=where) from None
        return self.function(*args, **kwargs)


class ToolRegistry:
    """Tools by name. Arguments are checked, and converted, by the function's type hints.

    Args:
        timeout_s: what one call may take. A thread that goes on after it counts until it ends.
        num_threads: for functions that are not async; no prompt waits for them.
    """

    def __init__(self, *, timeout_s: float = 30.0, num_threads: int = 4) -> None:
        self._tools: dict[str, Tool] = {}
        self._timeout_s = timeout_s
        self._pool = WorkerPool(num_threads, max_jobs=_MAX_CALLS, name="tool", jobs="tool calls")

    def register(self, function: Callable[..., Any], *, name: str | None = None) -> None:
        """Makes `function` callable under `name` (default: its own). Its docstring is what clients are told.

        Raises:
            ValueError: the name is taken.
        """
        name = name or function.__name__
        if name in self._tools:
            raise ValueError(f"A tool named {name!r} is registered already.")
        adapter: TypeAdapter[Any] = TypeAdapter(function)  # type: ignore[arg-type]  # pydantic takes callables too
        schema = adapter.json_schema()
        definition = FunctionDefinition(name=name, description=inspect.getdoc(function) or "", parameters=schema)
        self._tools[name] = Tool(function, ToolDefinition(function=definition), validate_call(_taking_as(function)))

    def definitions(self) -> list[ToolDefinition]:
        """What clients are told, in the order of registration."""
        return [tool.definition for tool in self._tools.values()]

    def __contains__(self, name: str) -> bool:
        return name in self._tools

    def shut_down(self) -> None:
        """Takes no more calls, and does not wait for those that run."""
        self._pool.shut_down()

    async def execute(self, name: str, arguments: dict[str, Any]) -> Any:
        """What the tool returns. An async function runs on the loop, any other on a thread.

        Raises:
            ApiError: arguments that do not fit ("invalid_value"), a tool that failed ("internal_error") or took too
                long ("deadline_exceeded"), or too many that run ("server_overloaded").
        """
        tool = self._tools[name]
        try:
            async with asyncio.timeout(self._timeout_s) as limit:
                if inspect.iscoroutinefunction(tool.function):
                    return await tool.call(arguments)
                return await self._pool.run(tool.call, arguments)
        except (ApiError, asyncio.CancelledError):
            raise
        except Exception as error:
            if limit.expired():
                problem = f"The tool '{name}' took longer than its limit of {self._timeout_s:g} s."
                raise ApiError("deadline_exceeded", problem) from None
            logger.exception("The tool %s failed", name)
            raise ApiError("internal_error", f"The tool '{name}' failed: {type(error).__name__}.") from None


def _taking_as(function: Callable[..., Any]) -> Callable[..., tuple[tuple[Any, ...], dict[str, Any]]]:
    """Takes what `function` takes, by its signature and hints, and gives it back."""

    @wraps(function.func if isinstance(function, partial) else function)  # for its hints, which a partial has not
    def take(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return args, kwargs

    take.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]  # which `inspect` looks for
    return take
