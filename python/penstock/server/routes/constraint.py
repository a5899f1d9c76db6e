"""What the answer to a request is held to: a form that it asks for, calls that must be valid, a thought with an end."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from penstock._core import ToolFormat
from penstock.adapters.engine import Engine, PromptRequest
from penstock.adapters.grammar_compiler import ThoughtBefore
from penstock.errors import ApiError
from penstock.generation import GrammarSpec
from penstock.http.worker_pool import WorkerPool
from penstock.prompt.formats import markers_of
from penstock.protocol import ChatCompletionRequest, StructuredOutput, structured_output

#: What ends harmony's thoughts: the channel of the answer begins.
_HARMONY_FINAL = "<|channel|>final<|message|>"


async def constraint(
    request: PromptRequest, engine: Engine, *, is_thinking: bool | None, pool: WorkerPool
) -> GrammarSpec | None:
    """None for nearly every request: it may write anything. Compiles on the pool's threads.

    Args:
        is_thinking: as of `Prompt`.

    Raises:
        ApiError: a form that cannot be enforced, or two at once.
    """
    form, budget, is_enforced = structured_output(request), None, False
    if isinstance(request, ChatCompletionRequest):
        budget = request.thinking_token_budget
        is_enforced = request.has_tools and request.tool_use.is_enforced
    if (form is None and budget is None and not is_enforced) or engine.reads_extra:
        return None
    if not engine.abilities.json:
        return None  # the door has refused what the engine does not act on
    return await pool.run(_held_to, request, engine, form, budget, is_thinking)


def _held_to(
    request: PromptRequest, engine: Engine, form: StructuredOutput | None, budget: int | None, is_thinking: bool | None
) -> GrammarSpec | None:
    calls = _calls(request, engine)
    whole = calls if form is None else _form_beside(calls, form, request, engine)
    thought = _thought(engine, is_thinking=is_thinking, max_tokens=budget, knows_thoughts=whole is calls)
    if whole is None and (budget is None or thought is None):
        return None
    return engine.compile_grammar(whole, thought, param="thinking_token_budget")


def _calls(request: PromptRequest, engine: Engine) -> StructuredOutput | None:
    """The grammar of an answer with calls, where one must be made or be valid."""
    if not isinstance(request, ChatCompletionRequest) or not request.tool_use.is_enforced:
        return None
    use, tools = request.tool_use, request.tool_use.to_json()
    if engine.formats.tool is None or tools is None:
        return None
    param = "tool_choice" if use.is_required else "tools"
    text = engine.tool_grammar(tools, required=use.is_required, name=use.name, parallel=use.is_parallel, param=param)
    return StructuredOutput("lark", text, param)


def _form_beside(
    calls: StructuredOutput | None, form: StructuredOutput, request: PromptRequest, engine: Engine
) -> StructuredOutput:
    """The form of the answer where tools may be called, too."""
    if calls is not None and calls.param == "tool_choice":
        problem = f"'{form.param}' cannot be given where a tool must be called."
        raise ApiError("invalid_value", problem, param=form.param)
    return _calls_or(form, request, engine) or form


def _calls_or(form: StructuredOutput, request: PromptRequest, engine: Engine) -> StructuredOutput | None:
    """A JSON answer, or calls of the tools that are offered beside it; None where there is no such choice. An agent's
    model looks things up first and answers in the given form at last."""
    if not isinstance(request, ChatCompletionRequest) or not request.tool_use.functions:
        return None
    format_name, schema = engine.formats.tool or "", _SCHEMAS.get(form.kind, form.text)
    if format_name in {"", "harmony"} or form.kind not in {"json_schema", "json_object"}:
        return None  # harmony's calls go another channel, which a form of the answer closes
    if not ToolFormat(format_name).markers:
        return None  # a call that is JSON and nothing else could not be told from the answer
    use = request.tool_use
    tools = to_json([{"type": "function", "function": _as_strict(each)} for each in use.functions])
    calls = engine.tool_grammar(tools, required=True, name=None, parallel=use.is_parallel, param="tools")
    text = re.sub(r"^start:", "calls:", calls, flags=re.MULTILINE)
    return StructuredOutput("lark", f"{text}\nanswer: %json {schema}\nstart: calls | answer\n", form.param)


#: As of `_core.GRAMMAR_KINDS`.
_SCHEMAS = {"json_object": '{"type": "object"}'}


def _as_strict(function: Mapping[str, Any]) -> dict[str, Any]:
    """A function whose arguments are held to its schema if it says so, else to none."""
    return {name: value for name, value in function.items() if name != "parameters" or function.get("strict")}


def _thought(
    engine: Engine, *, is_thinking: bool | None, max_tokens: int | None, knows_thoughts: bool
) -> ThoughtBefore | None:
    """What may come before the constraint, which is the whole answer unless it knows thoughts itself."""
    reasoning = engine.formats.reasoning
    if reasoning is None or is_thinking is False:
        return None
    markers = markers_of(reasoning)
    if markers is None:  # harmony, whose grammars of calls know its channels
        return ThoughtBefore(None, _HARMONY_FINAL, max_tokens) if not knows_thoughts else None
    begin, end = markers
    return ThoughtBefore(None if is_thinking else begin, end, max_tokens)
