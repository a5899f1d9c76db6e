"""The tools of a Responses request, which stand flat there, as a chat has them."""

from __future__ import annotations

from typing import Any

from penstock.errors import ApiError


def chat_tools(tools: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
    """Raises ApiError, by the tool's type, on one that is not the client's own function."""
    return None if tools is None else [_chat_tool(tool, at=f"tools[{i}]") for i, tool in enumerate(tools)]


def _chat_tool(tool: dict[str, Any], *, at: str) -> dict[str, Any]:
    kind = tool.get("type", "function")
    if kind != "function":
        problem = f"'{at}' is of type '{str(kind)[:40]}'; only functions are supported, which the client runs itself."
        raise ApiError("unsupported_parameter", problem, param=f"{at}.type")
    if not isinstance(tool.get("name"), str):
        raise ApiError("missing_parameter", f"'{at}.name' is required.", param=f"{at}.name")
    names = ("name", "description", "parameters", "strict")
    return {"type": "function", "function": {name: tool[name] for name in names if tool.get(name) is not None}}


def chat_tool_choice(choice: str | dict[str, Any] | None) -> Any:
    """A function that is named, and tools that are allowed, have an object of their own in a chat."""
    if not isinstance(choice, dict):
        return choice
    kind = choice.get("type")
    if kind == "function":
        return {"type": "function", "function": {"name": choice.get("name")}}
    if kind == "allowed_tools":
        allowed = {"mode": choice.get("mode", "auto"), "tools": choice.get("tools", [])}
        return {"type": "allowed_tools", "allowed_tools": allowed}
    problem = f"'tool_choice' is of type '{str(kind)[:40]}'; only functions are supported."
    raise ApiError("unsupported_parameter", problem, param="tool_choice.type")
