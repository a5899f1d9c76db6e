"""What of a request reaches its prompt. Judges: the template that transformers was recorded with, and the truncation
of `tokenizers` itself."""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from penstock.abilities import Abilities
from penstock.adapters.token_prompts import is_quick, read_input, read_token_prompts, unread_options
from penstock.errors import ApiError
from penstock.generation import Prompt
from penstock.prompt import PromptEncoder, ThoughtMarkers
from penstock.protocol import Limits, fields_of, parse_chat, parse_completion

DATA = Path(__file__).parents[1] / "data/tokenizer"
LIMITS = Limits(engine_reads=lambda _: fields_of(Abilities(tools=True, token_prompts=True)))
THINK = ThoughtMarkers("<think>", "</think>")
TOOL = {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}
USER = {"role": "user", "content": "What time is it?"}
TEXT = "water and stones, one two three, wheels and pipes"


@pytest.fixture
def encoder() -> PromptEncoder:
    return PromptEncoder.load(DATA)


def chat(**fields: Any) -> Any:
    return parse_chat(json.dumps({"messages": [USER], **fields}).encode(), LIMITS).request


def read_chat(encoder: PromptEncoder, **fields: Any) -> Prompt:
    (prompt,) = read_token_prompts(encoder, chat(**fields), THINK)
    return prompt


def text_of(encoder: PromptEncoder, prompt: Prompt) -> str:
    return encoder.vocabulary.decode(list(prompt.ids or ()))


def read_text(encoder: PromptEncoder, prompt: Any, **fields: Any) -> list[int]:
    request = parse_completion(json.dumps({"prompt": prompt, **fields}).encode(), LIMITS).request
    return list(read_token_prompts(encoder, request)[0].ids or ())


def test_tools_are_given_to_the_template_as_transformers_gives_them(encoder: PromptEncoder) -> None:
    prompt = read_chat(encoder, tools=[TOOL])
    assert prompt.ids == encoder.encode_chat([USER], tools=[TOOL])
    assert '"name": "now"' in text_of(encoder, prompt)


def test_d14_tools_that_may_not_be_called_are_not_in_the_prompt(encoder: PromptEncoder) -> None:
    assert read_chat(encoder, tools=[TOOL], tool_choice="none").ids == read_chat(encoder).ids


def test_a_template_without_a_place_for_tools_refuses_them(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes((DATA / "tokenizer.json").read_bytes())
    (tmp_path / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    plain = PromptEncoder.load(tmp_path)
    with pytest.raises(ApiError, match="no place for them") as caught:
        read_chat(plain, tools=[TOOL])
    assert caught.value.param == "tools"
    assert read_chat(plain, tools=[TOOL], tool_choice="none").num_tokens


def test_an_input_to_embed_may_fill_the_context(encoder: PromptEncoder) -> None:
    """As in sentence-transformers: no answer follows, for which room would have to be left."""
    whole = encoder.encode_text(TEXT)
    encoder.max_model_len = len(whole)
    assert read_input(encoder, TEXT) == read_input(encoder, whole) == whole
    for longer in (TEXT + " and more", [*whole, 1]):
        with pytest.raises(ApiError, match=r"'input' has \d+ tokens\. Please") as caught:
            read_input(encoder, longer)
        assert caught.value.code == "context_length_exceeded"


def test_what_the_template_does_not_read_is_named(encoder: PromptEncoder) -> None:
    variables = encoder.template_variables
    assert unread_options(chat(reasoning_effort="low", enable_thinking=True), variables) == []
    assert unread_options(chat(chat_template_kwargs={"enable_thinking": False}), variables) == []
    assert unread_options(chat(chat_template_kwargs={"nothing_reads": 1}), variables) == ["chat_template_kwargs"]
    assert unread_options(chat(documents=[{}]), variables) == ["documents"]
    assert unread_options(chat(reasoning_effort="low"), frozenset()) == ["reasoning_effort"]


@pytest.mark.parametrize(
    ("fields", "is_thinking"),
    [
        ({}, None),
        ({"enable_thinking": False}, False),
        ({"reasoning_effort": "none"}, False),
        ({"reasoning_effort": "none", "chat_template_kwargs": {"enable_thinking": True}}, None),
    ],
)
def test_whether_it_begins_thinking(encoder: PromptEncoder, fields: dict[str, Any], is_thinking: bool | None) -> None:
    assert read_chat(encoder, **fields).is_thinking is is_thinking


def test_a_thought_may_be_continued(encoder: PromptEncoder) -> None:
    begun = [USER, {"role": "assistant", "content": "<think>\nIt is"}]
    assert read_chat(encoder, messages=begun, continue_final_message=True).is_thinking is True


@pytest.mark.parametrize(("num_last", "adds"), [(2, True), (5, True), (1000, True), (1, False), (5, False)])
def test_the_last_tokens_are_those_that_tokenizers_keep(encoder: PromptEncoder, num_last: int, adds: bool) -> None:
    judge = Tokenizer.from_file(str(DATA / "tokenizer.json"))
    judge.enable_truncation(num_last, direction="left")
    expected = judge.encode(TEXT, add_special_tokens=adds).ids
    assert read_text(encoder, TEXT, truncate_prompt_tokens=num_last, add_special_tokens=adds) == expected


def test_fewer_last_tokens_than_are_added(encoder: PromptEncoder) -> None:
    judge = Tokenizer.from_file(str(DATA / "tokenizer.json"))
    assert read_text(encoder, TEXT, truncate_prompt_tokens=1) == judge.encode(TEXT).ids[-1:]


def test_special_tokens_are_added_as_asked(encoder: PromptEncoder) -> None:
    judge = Tokenizer.from_file(str(DATA / "tokenizer.json"))
    for adds in (True, False):
        assert read_text(encoder, TEXT, add_special_tokens=adds) == judge.encode(TEXT, add_special_tokens=adds).ids
    assert read_text(encoder, TEXT) == judge.encode(TEXT).ids
    chat_ids = read_chat(encoder).ids
    assert read_chat(encoder, add_special_tokens=False).ids == chat_ids


def test_ids_are_truncated_too(encoder: PromptEncoder) -> None:
    assert read_text(encoder, [5, 6, 7, 8], truncate_prompt_tokens=2) == [7, 8]


def test_as_many_as_leave_room(encoder: PromptEncoder) -> None:
    encoder.max_model_len = 20
    assert len(read_text(encoder, list(range(5, 50)), truncate_prompt_tokens=-1, max_tokens=8)) == 12
    assert len(read_text(encoder, list(range(5, 50)), truncate_prompt_tokens=-1, max_tokens=800)) == 1
    assert len(read_text(encoder, TEXT * 20, truncate_prompt_tokens=-1)) == 4, "16 new tokens are a completion's"
    long = read_chat(encoder, messages=[USER] * 40, truncate_prompt_tokens=-1, max_tokens=1)
    assert long.num_tokens == 19
    with pytest.raises(ApiError, match="maximum context length is 20 tokens"):
        read_text(encoder, TEXT * 20, truncate_prompt_tokens=20)


def test_a_chat_with_tools_is_not_read_on_the_loop() -> None:
    assert is_quick(chat())
    assert not is_quick(chat(tools=[TOOL]))
