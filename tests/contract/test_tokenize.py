"""/tokenize and /detokenize, judged by the tokenizer's own library."""

import json
from pathlib import Path
from typing import Any

import pytest
from processes import Launch
from raw_http import ask_json
from tokenizers import Tokenizer

import penstock.demo

FOLDER = Path(penstock.demo.__file__).parent / "model"
TEXTS = ["Hello", "", "naïve 日本 🙂", "<|im_end|> and text"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(next(FOLDER.parent.rglob("tokenizer.json"))))


def answer_of(server: Launch, path: str, content: dict[str, Any]) -> dict[str, Any]:
    answer = ask_json(server, path, content)
    assert answer.status == 200, answer.body
    told: dict[str, Any] = json.loads(answer.body)
    return told


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("adds", [True, False])
def test_a_text(echo_server: Launch, tokenizer: Tokenizer, text: str, adds: bool) -> None:
    expected = tokenizer.encode(text, add_special_tokens=adds)
    told = answer_of(echo_server, "/tokenize", {"prompt": text, "add_special_tokens": adds, "return_token_strs": True})
    assert (told["tokens"], told["token_strs"], told["count"]) == (expected.ids, expected.tokens, len(expected.ids))
    back = answer_of(echo_server, "/detokenize", {"tokens": expected.ids})
    assert back["prompt"] == tokenizer.decode(expected.ids, skip_special_tokens=False)


def test_a_chat_is_the_prompt_that_a_chat_has(echo_server: Launch) -> None:
    messages = [{"role": "user", "content": "Hello"}]
    told = answer_of(echo_server, "/tokenize", {"messages": messages})
    chat = answer_of(echo_server, "/v1/chat/completions", {"messages": messages, "max_tokens": 1})
    assert told["count"] == chat["usage"]["prompt_tokens"]
    assert "token_strs" not in told
    text = answer_of(echo_server, "/detokenize", {"tokens": told["tokens"]})["prompt"]
    assert "Hello" in text
    bare = answer_of(echo_server, "/tokenize", {"messages": messages, "add_generation_prompt": False})
    assert bare["tokens"] == told["tokens"][: bare["count"]]


@pytest.mark.parametrize(
    ("path", "wrong", "param"),
    [
        ("/tokenize", {}, "prompt"),
        ("/tokenize", {"prompt": "x", "messages": [{"role": "user", "content": "x"}]}, "prompt"),
        ("/tokenize", {"messages": [{"role": "user"}]}, "messages[0].content"),
        ("/detokenize", {}, "tokens"),
        ("/detokenize", {"tokens": [-1]}, "tokens[0]"),
        ("/detokenize", {"tokens": [10**8]}, "tokens"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(echo_server: Launch, path: str, wrong: dict[str, Any], param: str) -> None:
    answer = ask_json(echo_server, path, wrong)
    assert (answer.status, answer.error["param"]) == (400, param), answer.body
