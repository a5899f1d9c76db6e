"""By which formats a model writes tool calls and thoughts, as its chat template and vocabulary tell.

The formats themselves are in Rust; here is only what gives each away: texts that the template prints, or tokens.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from penstock import _core

#: The names of all formats.
TOOL_FORMATS: tuple[str, ...] = tuple(_core.TOOL_FORMATS)
REASONING_FORMATS: tuple[str, ...] = tuple(_core.REASONING_FORMATS)


@dataclass(frozen=True, slots=True)
class OutputFormats:
    """Names of formats; None: the model has none, as far as is known."""

    tool: str | None = None
    reasoning: str | None = None


#: A format, and what its templates or vocabularies hold, all of it. The first row that fits counts, so a row stands
#: before those whose marks its own templates hold, too.
_TOOL_SIGNS: tuple[tuple[str, ...], ...] = (
    ("harmony", "<|channel|>", "<|message|>", "functions"),
    ("deepseek_v32", "｜DSML｜"),
    ("deepseek_v3", "<｜tool▁calls▁begin｜>", "```json"),
    ("deepseek_v31", "<｜tool▁calls▁begin｜>"),
    ("kimi_k2", "<|tool_calls_section_begin|>"),
    ("seed_oss", "<seed:tool_call>"),
    ("minimax_m2", "<minimax:tool_call>"),
    ("step3", "<｜tool_calls_begin｜>"),
    ("longcat", "<longcat_tool_call>"),
    ("glm47", "</arg_key><arg_value>"),
    ("glm45", "<arg_key>"),
    ("qwen3_coder", "<function=", "<parameter="),
    ("functiongemma", "<start_function_call>"),
    ("gemma4", "<|tool_call>", "<tool_call|>"),
    ("internlm", "<|action_start|>", "<|plugin|>"),
    ("gigachat3", "<|role_sep|>", "function call"),
    ("gigachat3", "<|function_call|>"),
    ("phi4_mini_json", "functools["),
    ("phi4_mini_json", "<|tool_call|>", "<|/tool_call|>"),
    ("granite", "<|tool_call|>"),
    ("granite", "<tool_call>["),
    ("granite-20b-fc", "<function_call>"),
    ("hunyuan_a13b", "<tool_calls>", "<answer>"),
    ("minimax", "<tool_calls>", "<beginning_of_sentence>"),
    ("jamba", "<tool_calls>"),
    ("olmo3", "<function_calls>"),
    ("ernie45", "<tool_call>", "<response>"),
    ("hermes", "<tool_call>"),
    ("xlam", '"name": "tool_call_name"'),
    ("xlam", '"name": "func_name1"'),
    ("llama4_json", "<|python_start|>", '"parameters": '),
    ("llama4_pythonic", "<|python_start|>"),
    ("pythonic", "[func_name1(params_name1=params_value1"),
    ("llama3_json", "<|python_tag|>", '"parameters": '),
    ("mistral", "[TOOL_CALLS]"),
)
_REASONING_SIGNS: tuple[tuple[str, ...], ...] = (
    ("harmony", "<|channel|>", "<|message|>"),
    ("seed_oss", "<seed:think>"),
    ("mistral", "[THINK]"),
    ("gemma4", "<|channel>", "<channel|>"),
    ("granite", "Here is my thought process"),
    ("granite", "Here's my thought process"),
    ("kimi_k2", "</think>", "<|tool_calls_section_begin|>"),
    ("minimax_m2", "</think>", "<minimax:tool_call>"),
    ("step3", "</think>", "<｜tool_calls_begin｜>"),
    ("glm45", "</think>", "<arg_key>"),
    ("ernie45", "</think>", "<response>"),
    ("hunyuan_a13b", "</think>", "<answer>"),
    ("olmo3", "<think>", "<function_calls>"),
    ("deepseek_v3", "</think>", "<｜Assistant｜>", "thinking"),
    ("deepseek_r1", "</think>", "<｜Assistant｜>"),
    ("qwen3", "<think>"),
    ("qwen3", "</think>"),
)


def detect_formats(template: str, tokens: Set[str]) -> OutputFormats:
    """The formats that a chat template and the texts of a vocabulary's tokens tell of.

    A template that prints no tools has no tool format, whatever its vocabulary holds.
    """
    takes_tools = "tools" in template or "tool_calls" in template
    return OutputFormats(
        tool=_first(_TOOL_SIGNS, template, tokens) if takes_tools else None,
        reasoning=_first(_REASONING_SIGNS, template, tokens),
    )


def _first(rows: tuple[tuple[str, ...], ...], template: str, tokens: Set[str]) -> str | None:
    for name, *signs in rows:
        if all(sign in template or sign in tokens for sign in signs):
            return name
    return None


def markers_of(reasoning: str) -> tuple[str, str] | None:
    """What begins and ends a thought; None where a prompt opens none, as in harmony. KeyError if there is no such
    format."""
    if reasoning not in REASONING_FORMATS:
        raise KeyError(reasoning)
    found = _core.ReasoningFormat(reasoning)
    return None if found.name == "harmony" else (found.begin, found.end)
