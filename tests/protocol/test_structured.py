"""The form of an answer as requests ask for it: OpenAI's, vLLM's, SGLang's and llama.cpp's spellings."""

import json
from typing import Any

import pytest

from penstock.abilities import Abilities
from penstock.errors import ApiError
from penstock.protocol import Limits, fields_of, parse_chat, parse_completion, structured_output

ABLE = Limits(engine_reads=lambda _: fields_of(Abilities(json=True)))


def form_of(**fields: Any) -> tuple[str, str, str] | None:
    body = {"messages": [{"role": "user", "content": "x"}], **fields}
    form = structured_output(parse_chat(json.dumps(body).encode(), ABLE).request)
    return None if form is None else (form.kind, form.text, form.param)


SCHEMA = {"type": "object", "properties": {"z": {}, "a": {}}}
TEXT = json.dumps(SCHEMA, separators=(",", ":"))
TAG = {"structures": [], "triggers": ["<"]}


@pytest.mark.parametrize(
    ("fields", "kind", "text", "param"),
    [
        ({"response_format": {"type": "json_object"}}, "json_object", "", "response_format"),
        ({"response_format": {"type": "json_object", "schema": SCHEMA}}, "json_schema", TEXT, "response_format.schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": False}}},
         "json_schema", TEXT, "response_format.json_schema.schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}}, "json_object", "",
         "response_format.json_schema"),
        ({"structured_outputs": {"json": SCHEMA}}, "json_schema", TEXT, "structured_outputs.json"),
        ({"structured_outputs": {"json": TEXT, "regex": None, "disable_fallback": True}}, "json_schema", TEXT,
         "structured_outputs.json"),
        ({"structured_outputs": {"json_object": True}}, "json_object", "", "structured_outputs.json_object"),
        ({"structured_outputs": {"regex": "a+"}}, "regex", "a+", "structured_outputs.regex"),
        ({"structured_outputs": {"choice": ["a", "ü"]}}, "choice", '["a","ü"]', "structured_outputs.choice"),
        ({"structured_outputs": {"grammar": "start: X"}}, "lark", "start: X", "structured_outputs.grammar"),
        ({"structured_outputs": {"grammar": "root ::= x"}}, "ebnf", "root ::= x", "structured_outputs.grammar"),
        ({"structured_outputs": {"structural_tag": json.dumps(TAG)}}, "structural_tag", json.dumps(TAG),
         "structured_outputs.structural_tag"),
        ({"guided_json": SCHEMA}, "json_schema", TEXT, "guided_json"),
        ({"guided_regex": "a"}, "regex", "a", "guided_regex"),
        ({"guided_choice": ["a"]}, "choice", '["a"]', "guided_choice"),
        ({"guided_grammar": "root ::= x"}, "ebnf", "root ::= x", "guided_grammar"),
        ({"json_schema": TEXT}, "json_schema", TEXT, "json_schema"),
        ({"regex": "a"}, "regex", "a", "regex"),
        ({"ebnf": "root ::= x"}, "ebnf", "root ::= x", "ebnf"),
        ({"grammar": "root ::= x"}, "ebnf", "root ::= x", "grammar"),
        ({"structural_tag": json.dumps(TAG)}, "structural_tag", json.dumps(TAG), "structural_tag"),
    ],
)  # fmt: skip
def test_a_form_is_read_from_each_field(fields: dict[str, Any], kind: str, text: str, param: str) -> None:
    assert form_of(**fields) == (kind, text, param)


@pytest.mark.parametrize(
    "fields",
    [{}, {"response_format": {"type": "text"}}, {"response_format": None}, {"structured_outputs": {}}, {"grammar": ""},
     {"structured_outputs": {"json_object": False, "whitespace_pattern": None}}, {"guided_json": None}],
)  # fmt: skip
def test_neutral_values_ask_for_no_form(fields: dict[str, Any]) -> None:
    assert form_of(**fields) is None


@pytest.mark.parametrize(
    ("fields", "kind", "param"),
    [
        ({"response_format": {"type": "json_object"}, "guided_regex": "a"}, "invalid_value", "guided_regex"),
        ({"structured_outputs": {"regex": "a", "choice": ["a"]}}, "invalid_value", "structured_outputs.choice"),
        ({"structured_outputs": {"json": {}, "whitespace_pattern": " "}}, "unsupported_parameter",
         "structured_outputs.whitespace_pattern"),
        ({"structured_outputs": {"xml": "a"}}, "unsupported_parameter", "structured_outputs.xml"),
        ({"structured_outputs": {"regex": 3}}, "invalid_type", "structured_outputs.regex"),
        ({"structured_outputs": {"choice": "a"}}, "invalid_type", "structured_outputs.choice"),
        ({"structured_outputs": "a"}, "invalid_type", "structured_outputs"),
        ({"response_format": "json"}, "invalid_type", "response_format"),
        ({"response_format": {"type": "xml"}}, "invalid_value", "response_format.type"),
        ({"response_format": {}}, "missing_parameter", "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "missing_parameter", "response_format.json_schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": 3}}}, "invalid_type",
         "response_format.json_schema.schema"),
        ({"guided_json": 3}, "invalid_type", "guided_json"),
        ({"guided_whitespace_pattern": " "}, "unsupported_parameter", "guided_whitespace_pattern"),
    ],
)  # fmt: skip
def test_a_form_that_cannot_be_read_is_refused_by_name(fields: dict[str, Any], kind: str, param: str) -> None:
    with pytest.raises(ApiError) as caught:
        form_of(**fields)
    assert (caught.value.kind, caught.value.param) == (kind, param)


def test_a_backend_that_is_named_is_named_in_a_warning() -> None:
    body = {"prompt": "x", "guided_regex": "a", "guided_decoding_backend": "xgrammar"}
    assert parse_completion(json.dumps(body).encode(), ABLE).warnings == ["guided_decoding_backend"]


def test_an_engine_without_grammars_refuses_every_form() -> None:
    for fields in ({"guided_choice": ["a"]}, {"ebnf": "x"}, {"structured_outputs": {"regex": "a"}}, {"regex": "a"}):
        with pytest.raises(ApiError) as caught:
            parse_completion(json.dumps({"prompt": "x", **fields}).encode(), Limits())
        assert (caught.value.kind, caught.value.param) == ("unsupported_parameter", *fields)
