"""EndpointConfig, and what makes a handler's signature the only place that says which arguments it takes."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from penstock.server.request import Request

if TYPE_CHECKING:
    from penstock.server.base import BaseInferenceApiServer

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

    def __init__(self, config: EndpointConfig, server: BaseInferenceApiServer) -> None:
        self.config = config
        self.path = config.path
        self._read_body = server.read_body
        self._path_params: list[str] = []
        self._request_params: list[str] = []
        self._body_params: list[tuple[str, type[BaseModel]]] = []
        self._bind(config, server)

    async def call(self, request: Request) -> Any:
        """What the handler returns for `request`."""
        arguments: dict[str, Any] = {name: request.path_params[name] for name in self._path_params}
        for name in self._request_params:
            arguments[name] = request
        for name, model in self._body_params:
            arguments[name] = await self._read_body(model, request)
        returned = self.config.handler(**arguments)
        return await returned if inspect.isawaitable(returned) else returned

    def _bind(self, config: EndpointConfig, server: BaseInferenceApiServer) -> None:
        in_path = set(re.findall(r"{(\w+)}", config.path))
        hints = _hints(config.handler, type(server))
        for name, parameter in inspect.signature(config.handler).parameters.items():
            hint = hints.get(name)
            if name in in_path:
                self._path_params.append(name)
            elif inspect.isclass(hint) and issubclass(hint, BaseModel):
                self._body_params.append((name, hint))
            elif parameter.default is inspect.Parameter.empty and parameter.kind is not parameter.VAR_KEYWORD:
                self._request_params.append(name)


def _hints(handler: Callable[..., Any], owner: type) -> dict[str, Any]:
    """The handler's annotations; of an override without any, those of the method it overrides."""
    name = getattr(handler, "__name__", "")
    for source in (handler, *(vars(base).get(name) for base in owner.__mro__)):
        if source is None:
            continue
        try:
            hints = typing.get_type_hints(source)
        except (NameError, TypeError):  # a name that exists for type checkers only, or a callable object
            hints = dict(getattr(source, "__annotations__", {}))
        hints.pop("return", None)
        if hints:
            return hints
    return {}
