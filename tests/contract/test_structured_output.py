"""The official client asks for answers of a given form: every finished one has it, streamed and plain alike.

The judge of schemas is `jsonschema`, of expressions `re`; the model is the bundled one, hot enough to write anything.
"""

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any, Literal

import jsonschema
import openai
import pydantic
import pytest
from processes import Launch
from tokenizers import Tokenizer

from penstock.demo import model_path

HOT: dict[str, Any] = {
    "model": "penstock-demo",
    "messages": [{"role": "user", "content": "Tell me."}],
    "max_tokens": 220,
    "temperature": 1.5,
}


def closed(**properties: Any) -> dict[str, Any]:
    """An object of just these, as OpenAI's strict schemas are."""
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


NAME = {"type": "string", "maxLength": 6}
DIGIT = {"type": "integer", "minimum": 0, "maximum": 9}
TREE = closed(value=DIGIT, next={"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]})
TREE |= {"$defs": {"tree": {"anyOf": [closed(value=DIGIT, next={"$ref": "#/$defs/tree"}), {"type": "null"}]}}}
SCHEMAS: dict[str, Any] = {
    "function": closed(location=NAME, unit={"type": "string", "enum": ["celsius", "fahrenheit"]}),
    "numbers": closed(
        a={"type": "integer", "minimum": -3, "maximum": 1200},
        b={"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        c={"type": "integer", "multipleOf": 5, "minimum": 0, "maximum": 100}, d={"type": ["boolean", "null"]},
    ),
    "arrays": closed(
        matrix={"type": "array", "minItems": 2, "maxItems": 2,
                "items": {"type": "array", "maxItems": 2, "items": DIGIT}},
        pair={"type": "array", "prefixItems": [{"const": "x"}, {"type": "boolean"}], "items": False, "minItems": 2},
    ),
    "unicode": closed(**{"naïve “key”": {"enum": ["日本", "ü\n\"\\", "😀", 3.5, None, True]}, "é": NAME}),
    "formats": closed(
        when={"type": "string", "format": "date-time"}, day={"type": "string", "format": "date"},
        id={"type": "string", "format": "uuid"}, code={"type": "string", "pattern": "^[A-Z]{2}-\\d{1,3}$"},
    ),
    "recursive": TREE,
    "union": {"anyOf": [closed(kind={"const": "a"}, n=DIGIT),
                        closed(kind={"const": "b"}, s=NAME)]},
    "tagged": {
        "oneOf": [{"$ref": "#/$defs/cat"}, {"$ref": "#/$defs/dog"}],
        "discriminator": {"propertyName": "pet"},
        "$defs": {"cat": closed(pet={"const": "cat"}, lives={"enum": [7, 9]}),
                  "dog": closed(pet={"const": "dog"}, barks={"type": "boolean"})},
    },
    "merged": {"allOf": [{"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]},
                         closed(a=True, b={"enum": ["x", "y"]})]},
    "map": {"type": "object", "propertyNames": {"enum": ["up", "down"]}, "additionalProperties": {"type": "boolean"},
            "required": ["up"]},
    "scalar": {"type": "string", "enum": ["yes", "no"]},
}  # fmt: skip

SCHEMA = "response_format.json_schema.schema"


@pytest.fixture(scope="module")
def client(jax_server: Launch) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{jax_server.url}/v1", api_key="none", max_retries=0, timeout=100) as client:
        yield client


def plain(client: openai.OpenAI, **body: Any) -> list[tuple[str, str]]:
    choices = client.chat.completions.create(**HOT | body).choices
    return [(choice.message.content or "", choice.finish_reason) for choice in choices]


def streamed(client: openai.OpenAI, **body: Any) -> list[tuple[str, str]]:
    texts, reasons = {}, {}
    for chunk in client.chat.completions.create(**HOT | body, stream=True):
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
            reasons[choice.index] = choice.finish_reason or reasons.get(choice.index, "")
    return [(texts[index], reasons[index]) for index in sorted(texts)]


def of_schema(schema: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "it", "schema": schema, "strict": True}}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_finished_answer_has_the_form_of_its_schema(client: openai.OpenAI, name: str) -> None:
    schema = SCHEMAS[name]
    body = {"response_format": of_schema(schema), "n": 4, "seed": 3}
    answers = plain(client, **body)
    assert streamed(client, **body) == answers
    validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    finished = [text for text, reason in answers if reason == "stop"]
    assert len(finished) >= 3, answers
    for text in finished:
        validator.validate(json.loads(text))


def test_a_json_object_is_one_or_is_cut(client: openai.OpenAI) -> None:
    for text, reason in plain(client, response_format={"type": "json_object"}, n=4, seed=1, max_tokens=120):
        assert text.lstrip().startswith("{")
        if reason == "stop":
            assert isinstance(json.loads(text), dict)


@pytest.mark.parametrize(
    ("field", "value", "pattern"),
    [
        ("structured_outputs", {"regex": r"\d{3}-[a-f]+!"}, r"\d{3}-[a-f]+!"),
        ("structured_outputs", {"choice": ["left", "right", "leftover"]}, "left|right|leftover"),
        ("structured_outputs", {"grammar": 'root ::= "(" [0-9]{1,2} ")" | "[" root "]"'}, r"\[*\(\d\d?\)\]*"),
        ("structured_outputs", {"grammar": 'start: "a" B{2}\nB: "b" | "c"'}, "a[bc]{2}"),
        ("guided_regex", "[xyz]{4}", "[xyz]{4}"),
        ("guided_choice", ["日本", "ü"], "日本|ü"),
        ("guided_json", {"enum": [1, "two"]}, '1|"two"'),
        ("guided_grammar", 'root ::= "yes" | "no"', "yes|no"),
        ("regex", "a?b", "a?b"),
        ("ebnf", 'root ::= "0x" [0-9a-f]{2}', "0x[0-9a-f]{2}"),
    ],
)
def test_the_forms_of_other_servers_are_kept(client: openai.OpenAI, field: str, value: Any, pattern: str) -> None:
    answers = plain(client, extra_body={field: value}, n=3, seed=5, max_tokens=60)
    assert streamed(client, extra_body={field: value}, n=3, seed=5, max_tokens=60) == answers
    for text, reason in answers:
        if reason == "stop":
            assert re.fullmatch(pattern, text), text
    assert any(reason == "stop" for _, reason in answers)


def test_a_structural_tag_binds_what_follows_its_trigger(client: openai.OpenAI) -> None:
    tag = {
        "type": "structural_tag",
        "triggers": ["a"],
        "structures": [{"begin": "a", "schema": {"const": 3}, "end": "!"}],
    }
    (trigger,) = Tokenizer.from_file(str(model_path() / "tokenizer.json")).encode("a", add_special_tokens=False).ids
    likely = {str(trigger): 100}  # it writes none by itself
    texts = [text for text, _ in plain(client, response_format=tag, n=3, seed=2, max_tokens=20, logit_bias=likely)]
    for text in texts:
        for rest in re.split("a", text)[1:]:
            assert rest[:2] == "3!" or len(rest) < 2, text
    assert any("a3!" in text for text in texts), "else nothing was bound"


def test_a_text_completion_may_have_a_form_too(client: openai.OpenAI) -> None:
    answer = client.completions.create(
        model="penstock-demo", prompt="x", max_tokens=20, extra_body={"structured_outputs": {"choice": ["ja", "nein"]}}
    )
    assert answer.choices[0].text in {"ja", "nein"}


class Weather(pydantic.BaseModel):
    sky: Literal["blue", "grey"]
    degrees: list[Literal[10, 20]] = pydantic.Field(max_length=2)


def test_the_client_s_own_models_are_parsed(client: openai.OpenAI) -> None:
    parsed = client.chat.completions.parse(**HOT | {"response_format": Weather}).choices[0].message.parsed
    assert isinstance(parsed, Weather)


def test_a_form_cut_by_its_limit_ends_by_length(client: openai.OpenAI) -> None:
    assert (
        plain(client, response_format=of_schema(closed(text={"type": "string", "minLength": 300})), max_tokens=8)[0][1]
        == "length"
    )


@pytest.mark.parametrize(
    ("form", "param", "words"),
    [
        (of_schema({"type": "array", "uniqueItems": True}), "response_format.json_schema.schema", "'uniqueItems' at #"),
        (
            of_schema({"properties": {"a": {"not": {}}}}),
            "response_format.json_schema.schema",
            "'not' at #/properties/a",
        ),
        (of_schema({"$ref": "#/$defs/x"}), "response_format.json_schema.schema", ""),
        (of_schema({"type": "string", "pattern": "(?=a)"}), "response_format.json_schema.schema", ""),
        (of_schema({"type": "integer", "minimum": 3, "maximum": 2}), "response_format.json_schema.schema", ""),
        ({"type": "xml"}, "response_format.type", "json_schema"),
        ({"type": "json_schema"}, "response_format.json_schema", "required"),
        ({}, "response_format.type", "required"),
    ],
)
def test_a_form_that_cannot_be_kept_is_refused(client: openai.OpenAI, form: Any, param: str, words: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        plain(client, response_format=form)
    assert caught.value.param == param
    assert words in caught.value.message


def test_a_form_that_other_fields_leave_nothing_of_is_an_error_and_no_answer(client: openai.OpenAI) -> None:
    form = {"structured_outputs": {"choice": ["abcabc"]}, "allowed_token_ids": [3]}
    with pytest.raises(openai.BadRequestError) as caught:
        plain(client, extra_body=form)
    assert caught.value.param == "structured_outputs.choice"


def test_a_form_too_large_is_refused_and_neighbours_go_on(jax_server: Launch) -> None:
    huge = {"enum": ["x" * 100 + str(i) for i in range(5000)]}

    async def scene() -> None:
        url = f"{jax_server.url}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, timeout=100) as crowd:
            create = crowd.chat.completions.create
            alone = await create(**HOT | {"seed": 1, "max_tokens": 30})
            refused = [create(**HOT | {"response_format": of_schema(huge)}) for _ in range(3)]
            held = [create(**HOT | {"response_format": of_schema(SCHEMAS["union"]), "seed": i}) for i in range(6)]
            free = [create(**HOT | {"seed": 1, "max_tokens": 30}) for _ in range(6)]
            answers: list[Any] = await asyncio.gather(*refused, *held, *free, return_exceptions=True)
        assert all(isinstance(each, openai.BadRequestError) and "bytes" in str(each) for each in answers[:3]), answers[
            0
        ]
        for answer in answers[3:9]:
            jsonschema.validate(json.loads(answer.choices[0].message.content), SCHEMAS["union"])
        assert {answer.choices[0].message.content for answer in answers[9:]} == {alone.choices[0].message.content}

    asyncio.run(scene())
