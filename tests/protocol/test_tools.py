"""The body of POST /v1/tools/execute."""

import json
from typing import Any

import pytest

from penstock.errors import ApiError
from penstock.protocol import FunctionCallFormat, parse_tool_call


@pytest.mark.parametrize("arguments", [{"a": 1}, '{"a": 1}'])
def test_arguments_are_an_object_or_its_json_text(arguments: Any) -> None:
    assert parse_tool_call(json.dumps({"name": "f", "arguments": arguments}).encode()) == ("f", {"a": 1})


def test_arguments_may_be_absent() -> None:
    assert parse_tool_call(b'{"name": "f", "arguments": null}') == ("f", {})


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"arguments": {}}, "name"),
        ({"name": ""}, "name"),
        ({"name": "f", "arguments": 5}, "arguments"),
        ({"name": "f", "arguments": "{"}, "arguments"),
        ({"name": "f", "arguments": "[1]"}, "arguments"),
        ({"name": "f", "arguments": "[" * 100_000}, "arguments"),
    ],
)
def test_bad_calls_are_refused_by_name(body: dict[str, Any], param: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse_tool_call(json.dumps(body).encode())
    assert caught.value.param == param


def test_function_call_formats_are_the_seeds() -> None:
    assert {each.value for each in FunctionCallFormat} == {"openai", "json_schema", "hermes", "gorilla", "qwen", "nous"}
