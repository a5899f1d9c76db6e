"""Texts that may not be made, as tokens of the golden tokenizer."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from penstock.errors import ApiError
from penstock.generation import MAX_BAD_WORD_TOKENS, MAX_BAD_WORDS
from penstock.prompt import bad_word_ids

FILE = Path(__file__).parents[1] / "data" / "tokenizer" / "tokenizer.json"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(FILE))


def test_a_word_is_banned_at_the_start_and_after_a_space(tokenizer: Tokenizer) -> None:
    for word in ("the", "  return", "notaword", "é", "</think>", "class method", "ills"):
        banned = bad_word_ids(tokenizer, [word])
        for prefix in ("", " "):
            ids = tuple(tokenizer.encode(prefix + word.lstrip(), add_special_tokens=False).ids)
            assert any(ids[-len(form) :] == form for form in banned), (word, prefix)
        assert len(banned) == len(set(banned)) <= 2
    both = bad_word_ids(tokenizer, ["the"])
    assert [tokenizer.decode(list(ids)) for ids in both] == ["the", " the"]


def test_each_form_counts_once(tokenizer: Tokenizer) -> None:
    assert bad_word_ids(tokenizer, ["the", " the", "the"]) == bad_word_ids(tokenizer, ["the"])


@pytest.mark.parametrize(
    "words", [["x"] * (MAX_BAD_WORDS + 1), [" "], ["ok", "a b c d e f g h i " * MAX_BAD_WORD_TOKENS]]
)
def test_what_the_engine_has_no_room_for_is_refused(tokenizer: Tokenizer, words: list[str]) -> None:
    with pytest.raises(ApiError) as caught:
        bad_word_ids(tokenizer, words)
    assert (caught.value.kind, caught.value.param) == ("invalid_value", "bad_words")
