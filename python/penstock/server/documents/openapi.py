"""The OpenAPI document of a server: its endpoints and its models, nothing beside them.

OpenAPI 3.1.0 (https://spec.openapis.org/oas/v3.1.0). Knows endpoints, not what they do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from penstock.http.handler import BoundEndpoint
from penstock.server.documents.errors import ERROR_MODELS, error_responses
from penstock.server.documents.operation import Operation
from penstock.server.documents.schemas import Schemas

_KEYS = {
    "BearerAuth": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "API Key",
        "description": "An API key, as OpenAI's clients send it: `Authorization: Bearer sk-...`.",
    },
    "ApiKeyAuth": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "The same key in a header of its own.",
    },
}
_REQUEST_ID = {"description": "In the log, and in errors.", "schema": {"type": "string"}}
_REQUEST_ID_REF = {"x-request-id": {"$ref": "#/components/headers/RequestId"}}


@dataclass(frozen=True, slots=True)
class Info:
    """What the document says of the server as a whole. Attributes: needs_key: whether API keys are set."""

    title: str
    description: str
    version: str
    needs_key: bool


def build_document(info: Info, endpoints: Iterable[BoundEndpoint]) -> dict[str, Any]:
    """The document, as plain data.

    Args:
        endpoints: in the order of the document; those with `is_documented` false are left out.
    """
    listed = list(endpoints)
    paths = [endpoint.config.path for endpoint in listed]
    operations = [
        Operation(endpoint, method, needs_key=info.needs_key, is_gone_on=_is_gone_on(endpoint.config.path, paths))
        for endpoint in listed
        if endpoint.config.is_documented
        for method in endpoint.config.methods
    ]
    schemas = Schemas([*_error_models(operations), *(each for operation in operations for each in operation.types)])
    return {
        "openapi": "3.1.0",
        "info": {"title": info.title, "description": info.description, "version": info.version},
        "tags": _tags(operations),
        "security": _security(is_optional=not info.needs_key),
        "paths": _paths(operations, schemas),
        "components": {
            "securitySchemes": _KEYS,
            "headers": {"RequestId": _REQUEST_ID},
            "responses": _error_responses(operations, schemas),
            "schemas": schemas.components,
        },
    }


def _is_gone_on(path: str, paths: Iterable[str]) -> bool:
    return any(other.startswith(f"{path}/") for other in paths)


def _error_models(operations: Sequence[Operation]) -> list[type[BaseModel]]:
    shapes = {operation.error_shape for operation in operations}
    return [model for shape, model in ERROR_MODELS.items() if shape in shapes]


def _tags(operations: Sequence[Operation]) -> list[dict[str, str]]:
    names = dict.fromkeys(tag for operation in operations for tag in operation.tags)
    return [{"name": name} for name in names]


def _security(*, is_optional: bool) -> list[dict[str, list[str]]]:
    """Either scheme will do; an empty requirement says that none is needed."""
    keys: list[dict[str, list[str]]] = [{name: []} for name in _KEYS]
    return [{}, *keys] if is_optional else keys


def _paths(operations: Sequence[Operation], schemas: Schemas) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    ids: set[str] = set()
    for operation in operations:
        told = operation.describe(schemas, headers=_REQUEST_ID_REF)
        told["operationId"] = _unused(operation.name, operation.method, ids)
        if operation.is_open:
            told["security"] = _security(is_optional=True)
        paths.setdefault(operation.path, {})[operation.method] = told
    return paths


def _unused(name: str, method: str, ids: set[str]) -> str:
    """An operation's id must be its own; a handler may stand at several endpoints."""
    candidate, number = name, 1
    while candidate in ids:
        number += 1
        candidate = f"{name}_{method}" if number == 2 else f"{name}_{method}_{number}"
    ids.add(candidate)
    return candidate


def _error_responses(operations: Sequence[Operation], schemas: Schemas) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for shape, model in ERROR_MODELS.items():
        of_shape = [operation for operation in operations if operation.error_shape == shape]
        statuses = sorted({status for operation in of_shape for status in operation.error_statuses})
        if statuses:
            responses |= error_responses(statuses, shape, schemas.of(model), _REQUEST_ID_REF)
    return responses
