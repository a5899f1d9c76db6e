"""The wire of GET /v1/tools and POST /v1/tools/execute, and the names of function-call formats."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, Tag
from pydantic_core import from_json

from penstock.errors import ApiError
from penstock.protocol.common import Limits, Parsed, RequestBody, by_kind
from penstock.protocol.parse import read_declared

_LIMITS = Limits()


class FunctionCallFormat(StrEnum):
    """How a model spells a function call."""

    OPENAI = "openai"
    JSON_SCHEMA = "json_schema"
    HERMES = "hermes"
    GORILLA = "gorilla"
    QWEN = "qwen"
    NOUS = "nous"


class FunctionDefinition(BaseModel):
    """A function a client may call. Attributes: parameters: JSON schema of its arguments object."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = Field(default_factory=dict)


class ToolDefinition(BaseModel):
    """A tool in OpenAI's shape."""

    type: Literal["function"] = "function"
    function: FunctionDefinition


class ToolList(BaseModel):
    """All tools of a server."""

    object: Literal["list"] = "list"
    data: list[ToolDefinition]


class ToolExecutionRequest(RequestBody):
    """One call: a tool's name, and its arguments as an object or as the JSON text a model wrote."""

    name: str = Field(min_length=1, max_length=256)
    arguments: (
        Annotated[
            Annotated[str, Tag("~string")] | Annotated[dict[str, Any], Tag("~object")],
            by_kind("an object or its JSON text"),
        ]
        | None
    ) = None

    @classmethod
    def parse(cls, body: bytes, limits: Limits) -> Parsed[Self]:
        """Reads the body. Raises ApiError, with `param`, on anything wrong."""
        return read_declared(cls, body, limits)

    def arguments_object(self) -> dict[str, Any]:
        """The arguments by name. Raises ApiError "invalid_value" on a text that is no JSON object."""
        arguments = self.arguments
        if isinstance(arguments, str):
            try:
                arguments = from_json(arguments, allow_inf_nan=False)
            except ValueError:
                raise ApiError("invalid_value", "'arguments' is not valid JSON.", param="arguments") from None
            if not isinstance(arguments, dict):
                raise ApiError("invalid_value", "'arguments' must be the JSON text of an object.", param="arguments")
        return arguments or {}


class ToolExecutionResponse(BaseModel):
    """What the tool returned."""

    object: Literal["tool.result"] = "tool.result"
    name: str
    result: Any


def parse_tool_call(body: bytes, limits: Limits = _LIMITS) -> tuple[str, dict[str, Any]]:
    """The tool's name and its arguments. Raises ApiError, with `param`, on anything wrong."""
    request = ToolExecutionRequest.parse(body, limits).request
    return request.name, request.arguments_object()
