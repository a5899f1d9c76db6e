"""Which functions a chat's model is shown, and whether it must call one: `tools` and `tool_choice`, or the older
`functions` and `function_call`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field, Tag, with_config
from pydantic_core import to_json
from typing_extensions import TypedDict

from penstock.errors import ApiError
from penstock.protocol.common import FAIL_FAST, STRICT, by_kind
from penstock.protocol.refusal import describe

#: OpenAI takes 128; agents that gather the tools of several servers have more.
MAX_TOOLS = 512
#: OpenAI's letters and 64 of them, Anthropic's 128, and the signs that names of MCP servers have.
FunctionName = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[\w.:/-]+$")]


@with_config(STRICT)
class FunctionFields(TypedDict):
    """A function that may be called. `parameters` is the JSON schema of its arguments; `strict`: they obey it."""

    name: FunctionName
    description: NotRequired[str | None]
    parameters: NotRequired[dict[str, Any] | None]
    strict: NotRequired[bool | None]


@with_config(STRICT)
class ToolFields(TypedDict):
    """A tool: {"type": "function", "function": {…}}."""

    type: NotRequired[str]
    function: NotRequired[FunctionFields]


@with_config(STRICT)
class NameFields(TypedDict):
    """{"name": "f"}"""

    name: str


@with_config(STRICT)
class AllowedToolsFields(TypedDict):
    """Those of the tools that may be called now; "required": one of them must be."""

    mode: Literal["auto", "required"]
    tools: Annotated[list[dict[str, Any]], FAIL_FAST]


@with_config(STRICT)
class ToolChoiceFields(TypedDict):
    """{"type": "function", "function": {"name": "f"}} or {"type": "allowed_tools", "allowed_tools": {…}}."""

    type: str
    function: NotRequired[NameFields]
    allowed_tools: NotRequired[AllowedToolsFields]


_STRING_OR_OBJECT = by_kind("a string or an object")
Tools = Annotated[list[ToolFields], FAIL_FAST, Field(max_length=MAX_TOOLS)]
Functions = Annotated[list[FunctionFields], FAIL_FAST, Field(max_length=MAX_TOOLS)]
ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("~string")] | Annotated[ToolChoiceFields, Tag("~object")],
    _STRING_OR_OBJECT,
]
FunctionChoice = Annotated[
    Annotated[Literal["none", "auto"], Tag("~string")] | Annotated[NameFields, Tag("~object")], _STRING_OR_OBJECT
]


@dataclass(frozen=True, slots=True)
class ToolUse:
    """What a model may call.

    Attributes:
        functions: in the order given; empty where it may call nothing. It is shown no others.
        is_required: it must call one.
        name: of the one that it must call.
        is_parallel: it may call several at once.
    """

    functions: tuple[FunctionFields, ...] = ()
    is_required: bool = False
    name: str | None = None
    is_parallel: bool = True

    @property
    def is_enforced(self) -> bool:
        """Whether the form of its answer is bound to what it may call."""
        return self.is_required or any(function.get("strict") for function in self.functions)

    @property
    def shown(self) -> list[dict[str, Any]] | None:
        """For the chat template: without nulls, and without what is said to the server alone."""
        if not self.functions:
            return None
        hidden = ("strict",)
        return [
            {"type": "function", "function": {name: value for name, value in each.items()
                                              if value is not None and name not in hidden}}
            for each in self.functions
        ]  # fmt: skip

    def to_json(self) -> bytes | None:
        """The tools in OpenAI's shape."""
        return to_json([{"type": "function", "function": each} for each in self.functions]) if self.functions else None


NO_TOOLS = ToolUse()


def read_tool_use(tools: list[ToolFields] | None, choice: Any, *, parallel: bool | None) -> ToolUse:
    """Of `tools`, `tool_choice` and `parallel_tool_calls`. Raises ApiError on a tool that is no function, on two of one
    name, and on a choice of what is not among them."""
    if not tools and choice is None:  # most requests
        return NO_TOOLS
    functions = [_function_of(tool, at=f"tools[{i}]") for i, tool in enumerate(tools or ())]
    _check_names(functions, "tools[{}].function.name")
    return _chosen(functions, choice, param="tool_choice", is_parallel=parallel is not False)


def read_function_use(functions: list[FunctionFields], choice: Any) -> ToolUse:
    """Of the older `functions` and `function_call`: one call at a time. Raises ApiError as `read_tool_use`."""
    _check_names(functions, "functions[{}].name")
    if isinstance(choice, dict):
        choice = {"type": "function", "function": choice}
    return _chosen(functions, choice, param="function_call", is_parallel=False)


def _function_of(tool: ToolFields, *, at: str) -> FunctionFields:
    kind = tool.get("type", "function")
    if kind != "function":
        problem = f"'{at}.type' must be \"function\"; {describe(kind)} is not supported."
        raise ApiError("unsupported_parameter", problem, param=f"{at}.type")
    if "function" not in tool:
        raise ApiError("missing_parameter", f"'{at}.function' is required.", param=f"{at}.function")
    return tool["function"]


def _check_names(functions: list[FunctionFields], at: str) -> None:
    seen: set[str] = set()
    for i, function in enumerate(functions):
        if function["name"] in seen:
            param = at.format(i)
            raise ApiError("invalid_value", f"'{param}' is the name of an earlier one too.", param=param)
        seen.add(function["name"])


def _chosen(functions: list[FunctionFields], choice: Any, *, param: str, is_parallel: bool) -> ToolUse:
    """`choice`: a string, or an object as `ToolChoiceFields`; None: "auto"."""
    if choice == "none":
        return NO_TOOLS
    if choice in (None, "auto"):
        return ToolUse(tuple(functions), is_parallel=is_parallel) if functions else NO_TOOLS
    if not functions:
        raise ApiError("invalid_value", f"'{param}' needs 'tools' to choose from.", param=param)
    if choice == "required":
        return ToolUse(tuple(functions), is_required=True, is_parallel=is_parallel)
    if choice["type"] == "function" and "function" in choice:
        name = choice["function"]["name"]
        _find(functions, name, param=param)
        return ToolUse(tuple(functions), is_required=True, name=name, is_parallel=is_parallel)
    if choice["type"] == "allowed_tools" and "allowed_tools" in choice:
        return _allowed(functions, choice["allowed_tools"], param=param, is_parallel=is_parallel)
    problem = f"'{param}' must name a function or allowed tools; {describe(choice['type'])} does not."
    raise ApiError("invalid_value", problem, param=param)


def _allowed(functions: list[FunctionFields], allowed: AllowedToolsFields, *, param: str, is_parallel: bool) -> ToolUse:
    """The others are not shown: that is how they are kept from being called."""
    names = {str((tool.get("function") or tool).get("name")) for tool in allowed["tools"]}
    for name in sorted(names):
        _find(functions, name, param=param)
    if not names:
        raise ApiError("invalid_value", f"'{param}.allowed_tools.tools' must name at least one tool.", param=param)
    kept = tuple(function for function in functions if function["name"] in names)
    return ToolUse(kept, is_required=allowed["mode"] == "required", is_parallel=is_parallel)


def _find(functions: list[FunctionFields], name: str, *, param: str) -> None:
    if all(function["name"] != name for function in functions):
        raise ApiError("invalid_value", f"'{param}' names {describe(name)}, which is not among the tools.", param=param)
