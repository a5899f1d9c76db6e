"""One method of one endpoint, as OpenAPI describes it."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from pydantic_core import to_jsonable_python

from penstock.http.endpoint import WITH_BODY
from penstock.http.handler import BoundEndpoint
from penstock.server.documents.errors import ERROR_MODELS, error_name, error_statuses
from penstock.server.documents.schemas import Schemas

_JSON = "application/json"
_EVENTS = "text/event-stream"


class Operation:
    """One method of one endpoint.

    Attributes:
        path: with its parameters in braces, as OpenAPI writes them too.
        method: in lower case.
        name: the handler's.
        is_open: no key is needed.
        has_body: it takes JSON.
        error_statuses: of the refusals it can answer with; error_shape: their body's.
        types: whatever needs a schema.

    Args:
        is_gone_on: another path begins with this one.
    """

    def __init__(self, endpoint: BoundEndpoint, method: str, *, needs_key: bool, is_gone_on: bool = False) -> None:
        config = endpoint.config
        self.path = config.path
        self.method = method.lower()
        self.name = getattr(config.handler, "__name__", "") or "call"
        self.tags = config.tags or []
        self.is_open = config.is_open
        self.has_body = config.body == "json" and method in WITH_BODY
        self.error_shape = config.error_shape
        self._is_gone_on = is_gone_on
        self._endpoint = endpoint
        self._config = config
        self.error_statuses = error_statuses(
            needs_key=needs_key and not self.is_open,
            has_body=self.has_body,
            names_something=bool(endpoint.path_params) or self.has_body,
            shape=self.error_shape,
        )

    @property
    def types(self) -> Iterator[Any]:
        """None among them stands for anything, and needs no schema."""
        config, endpoint = self._config, self._endpoint
        yield from filter(None, (endpoint.body_model, config.response_model))
        yield from filter(None, (*config.media_types.values(), *config.other_responses.values()))
        yield from (parameter.annotation for parameter in (*endpoint.from_path, *endpoint.query_params))

    def describe(self, schemas: Schemas, *, headers: dict[str, Any]) -> dict[str, Any]:
        """The operation object, but for its id and its security."""
        told: dict[str, Any] = {"summary": self._config.summary or self.name, "tags": self.tags}
        if about := _first_paragraph(self._config.handler.__doc__):
            told["description"] = about
        if parameters := [*self._path_parameters(schemas), *self._query_parameters(schemas)]:
            told["parameters"] = parameters
        if self.has_body:
            model = self._endpoint.body_model
            content = {_JSON: {"schema": schemas.of(model)}}
            told["requestBody"] = {"required": model is not None, "content": content}
        told["responses"] = self._responses(schemas, headers)
        return told

    def _path_parameters(self, schemas: Schemas) -> Iterator[dict[str, Any]]:
        annotations = {parameter.name: parameter.annotation for parameter in self._endpoint.from_path}
        for name in self._endpoint.path_params:
            schema: dict[str, Any] = schemas.of(annotations[name]) if name in annotations else {"type": "string"}
            if schema == {"type": "string"}:
                schema["minLength"] = 1
            takes_rest = self.path.endswith(f"{{{name}}}") and not self._is_gone_on
            told = {"name": name, "in": "path", "required": True, "schema": schema}
            yield told | ({"description": "Slashes may stand in it as they are."} if takes_rest else {})

    def _query_parameters(self, schemas: Schemas) -> Iterator[dict[str, Any]]:
        for parameter in self._endpoint.query_params:
            schema = schemas.of(parameter.annotation)
            if not parameter.is_required and parameter.default is not None:
                schema["default"] = to_jsonable_python(parameter.default)
            yield {"name": parameter.name, "in": "query", "required": parameter.is_required, "schema": schema}

    def _responses(self, schemas: Schemas, headers: dict[str, Any]) -> dict[str, Any]:
        content = {_JSON: {"schema": schemas.of(self._config.response_model)}}
        for media_type, each in self._config.media_types.items():
            schema = schemas.of(each)
            is_stream = media_type == _EVENTS
            error = schemas.of(ERROR_MODELS[self.error_shape])
            content[media_type] = {"schema": _event(schema, error) if is_stream else schema}
        responses: dict[str, Any] = {"200": {"description": "The answer.", "headers": headers, "content": content}}
        for status in self.error_statuses:
            responses[str(status)] = {"$ref": f"#/components/responses/{error_name(status, self.error_shape)}"}
        for status, each in self._config.other_responses.items():
            either = {"anyOf": [schemas.of(each), schemas.of(ERROR_MODELS[self.error_shape])]}
            schema = either if status in self.error_statuses else schemas.of(each)
            described = {"description": HTTPStatus(status).phrase, "headers": headers}
            responses[str(status)] = described | {"content": {_JSON: {"schema": schema}}}
        return dict(sorted(responses.items()))


def _event(*payloads: dict[str, Any]) -> dict[str, Any]:
    """One event of a stream, in the form that OpenAPI 3.2 gives to server-sent events; `[DONE]` is the last.

    Args:
        payloads: schemas of what stands in an event as JSON.
    """
    as_json = [{"contentMediaType": _JSON, "contentSchema": payload} for payload in payloads]
    text = {"type": "string", "anyOf": [*as_json, {"const": "[DONE]"}]}
    return {"type": "object", "properties": {"data": text}, "required": ["data"]}


def _first_paragraph(text: str | None) -> str:
    """A handler's docstring up to its first empty line, on one line."""
    return " ".join((text or "").strip().split("\n\n")[0].split())
