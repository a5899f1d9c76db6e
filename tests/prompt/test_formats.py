"""Formats of tool calls and thoughts, told from the lines of real chat templates that print them."""

from __future__ import annotations

import pytest

from penstock import _core
from penstock.prompt.formats import REASONING_FORMATS, TOOL_FORMATS, OutputFormats, detect_formats, markers_of

_TOOLS = "{%- if tools %}{{ tools | tojson }}{% endif %}"

#: What a template holds, further tokens, and the formats that follow.
_TEMPLATES: list[tuple[str, str, set[str], OutputFormats]] = [
    (
        "Qwen2.5",
        '<tools></tools> … return a json object within <tool_call></tool_call>:\\n<tool_call>\\n{\\"name\\":',
        {"<|im_start|>", "<tool_call>"},
        OutputFormats("hermes"),
    ),
    (
        "Qwen3",
        "{{- '\\n<tool_call>\\n{\"name\": \"' }} … {%- if '</think>' in content %} '<think>\\n\\n</think>'",
        {"<think>", "</think>", "<tool_call>"},
        OutputFormats("hermes", "qwen3"),
    ),
    (
        "Qwen3-Coder",
        "<tool_call>\\n<function=example_function_name>\\n<parameter=example_parameter_1>\\nvalue_1\\n</parameter>",
        {"<tool_call>"},
        OutputFormats("qwen3_coder"),
    ),
    (
        "Llama 3.1",
        "{{- '<|python_tag|>' + tool_call.name + \".call(\" }} … {{- '\"parameters\": ' }}",
        {"<|python_tag|>"},
        OutputFormats("llama3_json"),
    ),
    (
        "Llama 3.2",
        '{"name": function name, "parameters": dictionary of argument name and its value}',
        {"<|python_tag|>"},
        OutputFormats("llama3_json"),
    ),
    (
        "Mistral v3",
        '{{- "[AVAILABLE_TOOLS] [" }} … {{- "[TOOL_CALLS] [" }} {{- tool_call.function|tojson }}',
        {"[TOOL_CALLS]"},
        OutputFormats("mistral"),
    ),
    (
        "Magistral",
        "{{- '[TOOL_CALLS]' + name + '[ARGS]' + arguments }} … '[THINK]' + thinking + '[/THINK]'",
        {"[TOOL_CALLS]", "[THINK]"},
        OutputFormats("mistral", "mistral"),
    ),
    (
        "DeepSeek-V3",
        "{{'<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>' + tool['type'] + '<｜tool▁sep｜>' + name + '\\n' + '```json'",
        set(),
        OutputFormats("deepseek_v3"),
    ),
    (
        "DeepSeek-R1",
        "'<｜tool▁calls▁begin｜>…\\n```json' content.split('</think>')[-1] '<｜Assistant｜><think>\\n'",
        set(),
        OutputFormats("deepseek_v3", "deepseek_r1"),
    ),
    (
        "DeepSeek-V3.1",
        "'<｜tool▁calls▁begin｜>'+ name + '<｜tool▁sep｜>' '<｜Assistant｜>' {% if thinking %} '</think>'",
        set(),
        OutputFormats("deepseek_v31", "deepseek_v3"),
    ),
    (
        "Kimi K2 Thinking",
        "<|tool_calls_section_begin|> <|tool_call_begin|>{{id}}<|tool_call_argument_begin|> <think></think>",
        set(),
        OutputFormats("kimi_k2", "kimi_k2"),
    ),
    (
        "GLM-4.5",
        "<tool_call>{function-name}\n<arg_key>{k}</arg_key>\n<arg_value>{v}</arg_value> <think></think>",
        set(),
        OutputFormats("glm45", "glm45"),
    ),
    (
        "GLM-4.7",
        "<tool_call>{function-name}<arg_key>{arg-key-1}</arg_key><arg_value>{arg-value-1}</arg_value> <think></think>",
        set(),
        OutputFormats("glm47", "glm45"),
    ),
    (
        "Seed-OSS",
        "<seed:tool_call>\\n<function=example_function_name>\\n<parameter=example_parameter_1>value_1 '<seed:think>'",
        set(),
        OutputFormats("seed_oss", "seed_oss"),
    ),
    (
        "MiniMax-M2",
        "<minimax:tool_call> <invoke name=\"tool-name\"> {{- '<think>' ~ '\\n' }} content.split('</think>')",
        set(),
        OutputFormats("minimax_m2", "minimax_m2"),
    ),
    (
        "GigaChat3",
        "role_sep=\"<|role_sep|>\\n\", message_sep=\"<|message_sep|>\\n\\n\" 'role': 'function call',",
        set(),
        OutputFormats("gigachat3"),
    ),
    (
        "Phi-4-mini",
        "{{- '<|tool|>' + (tool['function'] | tojson) + '<|/tool|>' -}}",
        {"<|tool_call|>", "<|/tool_call|>"},
        OutputFormats("phi4_mini_json"),
    ),
    (
        "Granite 3.3",
        "When a tool is required, respond only with <|tool_call|> followed by a JSON list. Here is my thought process:",
        {"<|tool_call|>"},
        OutputFormats("granite", "granite"),
    ),
    (
        "Gemma 4",
        "{{- '<|tool_call>call:' + function['name'] + '{' -}} '}<tool_call|>' '<|channel>thought\\n' '\\n<channel|>'",
        set(),
        OutputFormats("gemma4", "gemma4"),
    ),
    (
        "gpt-oss",
        "to=functions.{{ name }}<|channel|>commentary json<|message|> <|start|>assistant<|channel|>analysis<|message|>",
        set(),
        OutputFormats("harmony", "harmony"),
    ),
    (
        "xLAM-2",
        '[{"name": "tool_call_name", "arguments": {"arg1": "value1", "arg2": "value2"}}, ... (additional parallel',
        set(),
        OutputFormats("xlam"),
    ),
    (
        "Olmo 3",
        "function signatures within <functions></functions> … <function_calls></function_calls> <think>",
        set(),
        OutputFormats("olmo3", "olmo3"),
    ),
    (
        "Hunyuan-A13B",
        "'<tool_calls>[' … ']</tool_calls>' '<think>\\n' '</think>\\n<answer>\\n' '\\n</answer>'",
        set(),
        OutputFormats("hunyuan_a13b", "hunyuan_a13b"),
    ),
]


@pytest.mark.parametrize(("name", "lines", "tokens", "expected"), _TEMPLATES, ids=[row[0] for row in _TEMPLATES])
def test_a_template_tells_its_formats(name: str, lines: str, tokens: set[str], expected: OutputFormats) -> None:
    assert detect_formats(_TOOLS + lines, frozenset(tokens)) == expected


def test_a_template_without_tools_has_no_tool_format() -> None:
    template = "{% for message in messages %}{{ message.content }}{% endfor %}"
    assert detect_formats(template, frozenset({"<tool_call>", "[TOOL_CALLS]"})) == OutputFormats()


def test_formats_are_known_by_their_names() -> None:
    assert {"hermes", "mistral", "harmony", "glm47"} <= set(TOOL_FORMATS)
    assert markers_of("qwen3") == ("<think>", "</think>")
    assert markers_of("seed_oss") == ("<seed:think>", "</seed:think>")
    assert markers_of("harmony") is None
    for name in REASONING_FORMATS:
        assert _core.ReasoningFormat(name).name == name
    for name in TOOL_FORMATS:
        assert _core.ToolFormat(name).name == name
    with pytest.raises(ValueError, match="expected one of openai, hermes"):
        _core.ToolFormat("smoke_signals")
