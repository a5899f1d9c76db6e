"""EndpointConfig, and what makes a handler's signature the only place that says which arguments it takes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel, ConfigDict

from penstock.http.request import Request

BodyReader = Callable[[type[BaseModel], Request], Awaitable[BaseModel]]


class EndpointConfig(BaseModel):
    """One route: the source for routing, metric labels and documents.

    Attributes:
        path: template, as "/v1/models/{model_id}"; a parameter at the end takes the rest, slashes included.
        handler: an async callable. It is given, by its signature: path parameters by their names, a pydantic model of
            the body where one is annotated, and the Request for every other parameter.
        response_model: for documents.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    path: str
    handler: Callable[..., Any]
    methods: list[str]
    summary: str | None = None
    tags: list[str] | None = None
    response_model: Any = None


class BoundEndpoint:
    """An endpoint with its handler's signature read, once."""

    def __init__(self, config: EndpointConfig, *, read_body: BodyReader, owner: type) -> None:
        self.config = config
        self.path = config.path
        self._read_body = read_body
        self._path_params: list[str] = []
        self._request_params: list[str] = []
        self._body_params: list[tuple[str, type[BaseModel]]] = []
        self._bind(config, owner)

    async def call(self, request: Request) -> Any:
        """What the handler returns for `request`."""
        arguments: dict[str, Any] = {name: request.path_params[name] for name in self._path_params}
        for name in self._request_params:
            arguments[name] = request
        for name, model in self._body_params:
            arguments[name] = await self._read_body(model, request)
        returned = self.config.handler(**arguments)
        return await returned if inspect.isawaitable(returned) else returned

    def _bind(self, config: EndpointConfig, owner: type) -> None:
        in_path = set(re.findall(r"{(\w+)}", config.path))
        hints = _hints(config.handler, owner)
        for name, parameter in inspect.signature(config.handler).parameters.items():
            hint = hints.get(name)
            if name in in_path:
                self._path_params.append(name)
            elif inspect.isclass(hint) and issubclass(hint, BaseModel):
                self._body_params.append((name, hint))
            elif parameter.default is inspect.Parameter.empty and parameter.kind is not parameter.VAR_KEYWORD:
                self._request_params.append(name)


def _hints(handler: Callable[..., Any], owner: type) -> dict[str, Any]:
    """The handler's annotations; where an override says nothing or Any, those of the method it overrides."""
    name = getattr(handler, "__name__", "")
    overridden = [vars(base).get(name) for base in reversed(owner.__mro__)]
    hints: dict[str, Any] = {}
    for source in (*overridden, handler):
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
    except NameError:
        return Any
