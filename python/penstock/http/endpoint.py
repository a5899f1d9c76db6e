"""EndpointConfig: everything that a server knows of one route, in one place."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from penstock.errors import ConfigError

Body = Literal["json", "none"]
#: Whose body an error has (`rust/src/error_shape.rs`).
ErrorShape = Literal["openai", "anthropic"]

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_WORK = "/v1/"


class EndpointConfig(BaseModel):
    """One route: the one source for routing, keys, bodies, counters and documents.

    Attributes:
        path: template, as "/v1/models/{model_id}"; a parameter at the end, behind which no other path goes on,
            takes the rest, slashes included.
        handler: any callable; what it is given is said by its signature (`http.handler`).
        methods: in any case; one may be given as a plain string.
        summary, tags: for documents.
        response_model: of a 200 as JSON, for documents; anything that pydantic can describe.
        media_types: of a 200 beside JSON, each with what it carries, for documents.
        other_responses: what statuses beside 200 carry as JSON where that is no error's body, for documents.
        is_documented: stands in documents.
        request_model: of the body; default: what the handler's annotation says.
        body: how the body is read: "json", or "none". Default: "json" where a method may have one.
        error_shape: of its refusals and failures.
        is_open: no key is needed.
        is_counted: stands in http_requests_total and http_request_duration_seconds.
        is_work: counts as a request of the server's own counters. Default: what is POSTed under /v1/.

    Raises:
        ConfigError: what cannot be used, with the path.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    path: str
    handler: Callable[..., Any]
    methods: list[str]
    summary: str | None = None
    tags: list[str] | None = None
    response_model: Any = None
    media_types: dict[str, Any] = Field(default_factory=dict)
    other_responses: dict[int, Any] = Field(default_factory=dict)
    is_documented: bool = True
    request_model: type[BaseModel] | None = None
    body: Body | None = None
    error_shape: ErrorShape = "openai"
    is_open: bool = False
    is_counted: bool = True
    is_work: bool | None = None

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise ConfigError(f"Endpoint {given.get('path')!r}: '{where}': {first['msg']}.") from None
        if self.body is None:
            self.body = "json" if WITH_BODY.intersection(self.methods) else "none"
        if self.is_work is None:
            self.is_work = "POST" in self.methods and self.path.startswith(_WORK)

    @field_validator("path")
    @classmethod
    def _is_template(cls, path: str) -> str:
        if not re.fullmatch(r"(/([^/{}]*|{\w+}))+", path):
            raise ValueError("must begin with a slash, and a parameter must fill the room between two")
        return path

    @field_validator("methods", mode="before")
    @classmethod
    def _as_list(cls, methods: Any) -> Any:
        return [methods] if isinstance(methods, str) else methods

    @field_validator("methods")
    @classmethod
    def _in_capitals(cls, methods: list[str]) -> list[str]:
        capitals = [method.upper() for method in methods]
        unknown = [method for method in capitals if method not in _METHODS]
        if unknown or not capitals:
            raise ValueError(f"must be some of {', '.join(sorted(_METHODS))}")
        return capitals


def checked(endpoints: object) -> list[EndpointConfig]:
    """A server's endpoints. Raises ConfigError on an entry that is none, or that stands there twice."""
    if not isinstance(endpoints, list | tuple):
        raise ConfigError(f"_endpoints must be a list of EndpointConfig, not {type(endpoints).__name__}.")
    seen: set[tuple[str, str]] = set()
    for number, endpoint in enumerate(endpoints):
        if not isinstance(endpoint, EndpointConfig):
            raise ConfigError(f"_endpoints[{number}] must be an EndpointConfig, not {type(endpoint).__name__}.")
        for method in endpoint.methods:
            if (endpoint.path, method) in seen:
                raise ConfigError(f"Endpoint {endpoint.path!r}: {method} stands in _endpoints twice.")
            seen.add((endpoint.path, method))
    return list(endpoints)
