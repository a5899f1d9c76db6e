"""What of a request only its answer shows reaches `OutputOptions`, each field."""

import json
from typing import Any

import pytest

from penstock.abilities import Abilities
from penstock.generation import SamplingDefaults
from penstock.output_options import OutputOptions
from penstock.protocol import Limits, fields_of, parse_chat, parse_completion, sampling_params

ABLE = Abilities(
    chat=True, token_prompts=True, token_output=True, tools=True, logprobs=True, reasoning=True, scheduling=True
)
LIMITS = Limits(engine_reads=lambda _: fields_of(ABLE))
DOORS: dict[str, Any] = {"messages": parse_chat, "prompt": parse_completion}
BODIES: dict[str, dict[str, Any]] = {
    "messages": {"messages": [{"role": "user", "content": "Hi"}]},
    "prompt": {"prompt": "Hi"},
}


def options(kind: str, fields: dict[str, Any], **model: Any) -> OutputOptions:
    request = DOORS[kind](json.dumps(BODIES[kind] | fields).encode(), LIMITS).request
    told: OutputOptions = request.output_options(
        sampling_params(request, SamplingDefaults()), system_fingerprint="fp", **model
    )
    return told


@pytest.mark.parametrize("kind", DOORS)
def test_a_plain_request_asks_for_text(kind: str) -> None:
    fields = {"max_tokens": 4, "temperature": 0, "stop": "x", "stream": True, "stream_options": {"include_usage": True}}
    assert options(kind, fields) == OutputOptions(system_fingerprint="fp")


@pytest.mark.parametrize(
    ("kind", "fields", "told"),
    [
        ("messages", {"logprobs": True, "top_logprobs": 2}, {"logprobs": 2}),
        ("prompt", {"logprobs": 0}, {"logprobs": 0}),
        ("prompt", {"echo": True}, {"echo": True}),
        ("prompt", {"best_of": 3}, {"num_best": 1}),
        ("messages", {"include_stop_str_in_output": True}, {"include_stop_str": True}),
        ("messages", {"skip_special_tokens": False}, {"skip_special_tokens": False}),
        ("messages", {"return_token_ids": True}, {"return_token_ids": True}),
        ("messages", {"return_cache_report": True}, {"cache_report": True}),
        ("messages", {"stream": True, "stream_options": {"include_usage": True, "continuous_usage_stats": True}},
         {"continuous_usage": True}),
    ],
)  # fmt: skip
def test_each_field_is_told(kind: str, fields: dict[str, Any], told: dict[str, Any]) -> None:
    asked = options(kind, fields)
    assert {name: getattr(asked, name) for name in told} == told


def test_how_a_model_writes_is_told() -> None:
    assert options("messages", {}, reasoning_format="qwen3").reasoning_format == "qwen3"
    tools = {"tools": [{"type": "function", "function": {"name": "now"}}]}
    assert options("messages", tools, tool_format="hermes").tool_format == "hermes"
    assert options("messages", {}, tool_format="hermes").tool_format is None
