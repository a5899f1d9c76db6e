"""What makes a handler's signature the only place that says which arguments it is given."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from functools import partial
from types import CoroutineType
from typing import Any

from pydantic import BaseModel

from penstock.errors import ConfigError
from penstock.http.endpoint import EndpointConfig
from penstock.http.fastapi_parameters import plain
from penstock.http.query import QueryParameter, is_query_type
from penstock.http.request import Request

BodyReader = Callable[[type[BaseModel], Request], Awaitable[BaseModel]]

_REQUEST_NAMES = ("raw_request", "request")
_STARRED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class BoundEndpoint:
    """An endpoint with its handler's signature read, once.

    Of a handler's parameters, one that the path names is given that part of the path; one that is annotated with a
    pydantic model, the body; one that is annotated `Request`, or called raw_request or request, the request; one that
    is annotated str, int, float, bool, a Literal or an Enum, what the query says. Any other keeps its default.

    Attributes:
        config: the endpoint.
        path_params: names, in the path's order.
        from_path, query_params: what the handler takes from the path and from the query string.
        body_model: of the body; None: the handler reads it itself, or there is none.

    Raises:
        ConfigError: a parameter that nothing fills, by its endpoint.
    """

    def __init__(self, config: EndpointConfig, *, read_body: BodyReader, owner: type) -> None:
        self.config = config
        self.path_params: list[str] = re.findall(r"{(\w+)}", config.path)
        self.query_params: list[QueryParameter] = []
        self.body_model: type[BaseModel] | None = config.request_model
        self._read_body = read_body
        self.from_path: list[QueryParameter] = []
        self._body_param: str | None = None
        self._request_params: list[str] = []
        hints = _hints(config.handler, owner)
        for parameter in inspect.signature(config.handler).parameters.values():
            if parameter.kind not in _STARRED:
                try:
                    self._bind(parameter, hints.get(parameter.name))
                except ConfigError as error:
                    raise ConfigError(f"Endpoint {config.path!r}: {error}") from None

    async def call(self, request: Request) -> Any:
        """What the handler returns for `request`. Raises ApiError on arguments that cannot be read."""
        arguments: dict[str, Any] = {each.name: each.read(request.path_params) for each in self.from_path}
        for name in self._request_params:
            arguments[name] = request
        for each in self.query_params:
            arguments[each.name] = each.read(request.query_params)
        if self._body_param is not None and self.body_model is not None:
            arguments[self._body_param] = await self._read_body(self.body_model, request)
        returned = self.config.handler(**arguments)
        is_awaitable = type(returned) is CoroutineType or inspect.isawaitable(returned)
        return await returned if is_awaitable else returned

    def _bind(self, parameter: inspect.Parameter, hint: Any) -> None:
        name = parameter.name
        hint, default = plain(name, hint, parameter.default)
        has_default = default is not inspect.Parameter.empty
        if hint is None and has_default and default is not None and is_query_type(type(default)):
            hint = type(default)
        if name in self.path_params:
            self.from_path.append(QueryParameter(name, hint if is_query_type(hint) else str, default))
        elif self._takes_body(name, hint):
            self._body_param = name
        elif _is_request(name, hint):
            self._request_params.append(name)
        elif is_query_type(hint):
            self.query_params.append(QueryParameter(name, hint, default))
        elif not has_default:
            raise ConfigError(
                f"nothing fills the parameter '{name}' of its handler. "
                "Annotate it as Request, as a pydantic model of the body, or as a str, int, float or bool of the query."
            )

    def _takes_body(self, name: str, hint: Any) -> bool:
        if self._body_param is not None:
            return False
        if inspect.isclass(hint) and issubclass(hint, BaseModel):
            self.body_model = self.config.request_model or hint
            return True
        return hint is None and name == "request" and self.config.request_model is not None


def _is_request(name: str, hint: Any) -> bool:
    if inspect.isclass(hint) and issubclass(hint, Request):
        return True
    return name in _REQUEST_NAMES and not is_query_type(hint)


def _hints(handler: Callable[..., Any], owner: type) -> dict[str, Any]:
    """The handler's annotations; where an override says nothing or Any, those of the method it overrides."""
    function = handler.func if isinstance(handler, partial) else handler
    if not inspect.isroutine(function):
        function = type(function).__call__
    overridden = [vars(base).get(getattr(function, "__name__", "")) for base in reversed(owner.__mro__)]
    hints: dict[str, Any] = {}
    for source in (*overridden, function):
        for param, hint in getattr(source, "__annotations__", {}).items():
            if (resolved := _resolve(hint, getattr(source, "__globals__", {}))) is not Any:
                hints[param] = resolved
    return hints


def _resolve(hint: Any, names: dict[str, Any]) -> Any:
    """One annotation, each by itself: beside a name that only type checkers know, the others still count."""
    if not isinstance(hint, str):
        return hint
    try:
        return eval(hint, names)  # source of the server's owner, as typing.get_type_hints does
    except (NameError, AttributeError):
        return Any
