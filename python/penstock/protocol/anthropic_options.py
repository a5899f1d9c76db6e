"""What a message's request says beside its turns, as a chat says it: tools, thinking, the form of the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NotRequired

from pydantic import Field, with_config
from typing_extensions import TypedDict

from penstock.errors import ApiError
from penstock.protocol.common import STRICT, WireModel

#: A chat knows no more than "xhigh".
_EFFORTS = {"max": "xhigh"}


@with_config(STRICT)
class ToolFields(TypedDict):
    """A tool that the client runs: {"name": "f", "input_schema": {…}}."""

    type: NotRequired[str | None]
    name: str
    description: NotRequired[str | None]
    input_schema: NotRequired[dict[str, Any] | None]
    strict: NotRequired[bool | None]


class ToolChoice(WireModel):
    """Whether a tool must be called. Attributes: type: "any": some tool; "tool": the one called `name`."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(WireModel):
    """Whether the model thinks before it answers, where it can do without. Attributes: budget_tokens: for its thought;
    display: "omitted": the thought is not told."""

    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: int | None = Field(None, ge=1, le=2**31 - 1)
    display: Literal["summarized", "omitted"] | None = None


class OutputConfig(WireModel):
    """The form of the answer: {"type": "json_schema", "schema": {…}}, and how hard the model is to think."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: dict[str, Any] | None = None


def chat_tools(tools: list[ToolFields]) -> list[dict[str, Any]]:
    """Raises ApiError, by its type, on one of Anthropic's own tools."""
    return [_chat_tool(tool, at=f"tools[{i}]") for i, tool in enumerate(tools)]


def _chat_tool(tool: Mapping[str, Any], *, at: str) -> dict[str, Any]:
    kind = tool.get("type")
    if kind not in (None, "custom", "function"):
        problem = f"'{at}' is of type '{str(kind)[:40]}'; only tools with an 'input_schema' are supported."
        raise ApiError("unsupported_parameter", problem, param=f"{at}.type")
    function = {
        "name": tool["name"],
        "description": tool.get("description"),
        "parameters": tool.get("input_schema"),
        "strict": tool.get("strict"),
    }
    return {"type": "function", "function": {name: value for name, value in function.items() if value is not None}}


def chat_tool_choice(choice: ToolChoice | None) -> dict[str, Any]:
    """The chat's fields. Raises ApiError where no tool is named."""
    if choice is None:
        return {}
    one = {"type": "function", "function": {"name": choice.name}}
    chosen = {"auto": "auto", "none": "none", "any": "required", "tool": one}[choice.type]
    if choice.type == "tool" and choice.name is None:
        raise ApiError("missing_parameter", "'tool_choice.name' is required.", param="tool_choice.name")
    return {"tool_choice": chosen, "parallel_tool_calls": False if choice.disable_parallel_tool_use else None}


def chat_thinking(thinking: Thinking | None) -> dict[str, Any]:
    """A client that does not ask for thoughts does not expect any: a model that can do without them is told to, and
    those of one that cannot are left out."""
    if thinking is None or thinking.type == "disabled":
        return {"enable_thinking": False, "include_reasoning": False}
    return {
        "enable_thinking": True,
        "include_reasoning": False if thinking.display == "omitted" else None,
    }


def chat_thinking_budget(thinking: Thinking | None) -> int | None:
    """The tokens after which a thought is closed; None: no bound, or no thought is wanted."""
    return None if thinking is None or thinking.type == "disabled" else thinking.budget_tokens


def _response_format(format_: dict[str, Any] | None) -> dict[str, Any] | None:
    if format_ is None or format_.get("type") != "json_schema":
        return format_
    schema = {"name": "output", "schema": format_.get("schema"), "strict": True}
    return {"type": "json_schema", "json_schema": schema}


def chat_output(output: OutputConfig | None) -> dict[str, Any]:
    """The chat's fields for the form of the answer and the effort."""
    given = output or OutputConfig()
    return {
        "response_format": _response_format(given.format),
        "reasoning_effort": _EFFORTS.get(given.effort or "", given.effort),
    }
