"""Templates rendered as transformers renders them. Judges: what transformers itself wrote (tests/data/tokenizer), and
the rules of its `apply_chat_template` for the corners."""

import json
from pathlib import Path
from typing import Any

import pytest

from penstock.errors import ApiError, ModelError
from penstock.prompt import ChatTemplate, PromptEncoder

DATA = Path(__file__).parents[1] / "data/tokenizer"
CASES = json.loads((DATA / "chat_cases.json").read_text())
USER = {"role": "user", "content": "Hi"}


@pytest.fixture(scope="module")
def encoder() -> PromptEncoder:
    return PromptEncoder.load(DATA)


def template(source: str, **special_tokens: str) -> ChatTemplate:
    return ChatTemplate({"default": source}, special_tokens=special_tokens)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_text_and_ids_equal_transformers(encoder: PromptEncoder, case: dict[str, Any]) -> None:
    options = {"tools": case["tools"], "template_kwargs": dict(case["kwargs"])}
    for name in ("add_generation_prompt", "continue_final_message"):
        options[name] = options["template_kwargs"].pop(name, False)
    assert encoder.render_chat(case["messages"], **options) == case["rendered"]
    assert encoder.encode_chat(case["messages"], **options) == case["ids"]


def test_blocks_are_trimmed_and_loops_may_break() -> None:
    source = "{% for m in messages %}\n  {% if loop.index > 1 %}{% break %}{% endif %}\n{{ m.content }}!\n{% endfor %}"
    assert template(source).render([USER, USER]) == "Hi!\n"


def test_a_generation_tag_prints_its_body_in_a_scope_of_its_own() -> None:
    source = "{% set x = 1 %}{% generation %}{% set x = 2 %}{{ messages[0].content }}{{ x }}{% endgeneration %}{{ x }}"
    assert template(source).render([USER]) == "Hi21"


def test_json_is_not_escaped_and_keeps_its_order() -> None:
    message = {"role": "user", "content": "x", "data": {"ż": "<b>'&", "a": None}}
    assert template("{{ messages[0].data | tojson }}").render([message]) == '{"ż": "<b>\'&", "a": null}'
    assert template("{{ messages[0].data | tojson(indent=1) }}").render([message]).startswith('{\n "ż"')


def test_special_tokens_clock_and_variables_are_there() -> None:
    source = "{{ bos_token }}{{ strftime_now('%Y') | length }}{{ enable_thinking }}{{ tools is none }}{{ nothing }}"
    assert (
        template(source, bos_token="<s>").render([USER], template_kwargs={"enable_thinking": False}) == "<s>4FalseTrue"
    )


def test_a_refusing_template_answers_in_its_own_words() -> None:
    with pytest.raises(ApiError) as caught:
        template("{{ raise_exception('Only cats may speak') }}").render([USER])
    assert (caught.value.kind, caught.value.param) == ("invalid_request", "messages")
    assert "Only cats may speak" in caught.value.message


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages[0].content + 5 }}",
        "{{ messages[0].nothing.at_all }}",
        "{{ ''.__class__.__mro__ }}",
        "{% for i in range(1000000000) %}x{% endfor %}",
        "{{ messages.append(1) }}",
        "{{ 1 / 0 }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    ],
)
def test_whatever_goes_wrong_in_a_template_is_a_400(source: str) -> None:
    with pytest.raises(ApiError) as caught:
        template(source).render([USER])
    assert caught.value.kind == "invalid_request"
    assert len(caught.value.message) < 400


def test_reserved_variables_cannot_be_set() -> None:
    with pytest.raises(ApiError) as caught:
        template("x").render([USER], template_kwargs={"messages": []})
    assert caught.value.param == "chat_template_kwargs"


@pytest.mark.parametrize(
    ("source", "content"),
    [
        ("{{ messages[0]['content'] + '|' }}", "ab|"),
        ("{% for p in messages[0].content %}{{ p.text }},{% endfor %}", "a,b,"),
        ("{% set c = messages[0].content %}{% if c is string %}{{ c }}{% else %}{{ c[0].text }}{% endif %}", "a"),
    ],
)
def test_parts_reach_a_template_in_the_form_it_reads(source: str, content: str) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert template(source).render([{"role": "user", "content": parts}]) == content


def test_a_string_is_wrapped_for_a_template_that_reads_only_parts() -> None:
    assert template("{% for p in messages[0].content %}{{ p.text }}{% endfor %}").render([USER]) == "Hi"


CHATML = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}</>{% endfor %}{% if add_generation_prompt %}<a>{% endif %}"
)
TRIMMING = CHATML.replace("m.content", "m.content | trim")


@pytest.mark.parametrize(
    ("source", "content", "rendered"),
    [
        (CHATML, "One, ", "<user>Hi</><assistant>One, "),
        (CHATML, [{"type": "text", "text": "One, "}], "<user>Hi</><assistant>One, "),
        (TRIMMING, "One, ", "<user>Hi</><assistant>One,"),
        (CHATML, "", "<user>Hi</><assistant>"),
    ],
)
def test_a_final_message_is_continued_where_it_stops(source: str, content: Any, rendered: str) -> None:
    messages = [USER, {"role": "assistant", "content": content}]
    assert template(source).render(messages, continue_final_message=True) == rendered
    assert messages[1]["content"] == content


def test_a_final_message_without_text_cannot_be_continued() -> None:
    for source, final in (
        (CHATML, {"role": "assistant"}),
        ("{{ messages[0].content }}", {"role": "a", "content": "x"}),
    ):
        with pytest.raises(ApiError):
            template(source).render([USER, final], continue_final_message=True)


# ---- where templates come from


def folder_with(tmp_path: Path, *, config: Any = None, jinja: str | None = None) -> ChatTemplate | None:
    if jinja is not None:
        (tmp_path / "chat_template.jinja").write_text(jinja)
    return ChatTemplate.load(tmp_path, {} if config is None else {"chat_template": config}, special_tokens={})


def test_the_file_wins_over_the_config(tmp_path: Path) -> None:
    found = folder_with(tmp_path, config="config", jinja="file")
    assert found is not None
    assert found.render([USER]) == "file"


def test_a_named_list_has_its_own_template_for_tools(tmp_path: Path) -> None:
    named = [{"name": "default", "template": "plain"}, {"name": "tool_use", "template": "tools"}]
    found = folder_with(tmp_path, config=named)
    assert found is not None
    assert (found.render([USER]), found.render([USER], tools=[{}]), found.render([USER], tools=[])) == (
        "plain", "tools", "plain")  # fmt: skip


def test_no_template_is_no_error(tmp_path: Path) -> None:
    assert folder_with(tmp_path) is None


@pytest.mark.parametrize(
    ("config", "jinja"), [("{% if %}", None), (None, "{{ x "), (5, None), ([{"name": "default"}], None)]
)
def test_a_broken_template_is_a_model_error(tmp_path: Path, config: Any, jinja: str | None) -> None:
    with pytest.raises(ModelError, match="template"):
        folder_with(tmp_path, config=config, jinja=jinja)
