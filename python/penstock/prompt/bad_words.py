"""From texts that may not be made to the sequences of tokens that the engine bans: as vLLM reads them, but for words
that take another number of tokens after a space, which it lets pass there."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer

from penstock.errors import ApiError
from penstock.generation import MAX_BAD_WORD_TOKENS, MAX_BAD_WORDS


def bad_word_ids(tokenizer: Tokenizer, words: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """The tokens of each word as it begins a text, and as it stands within one, after a space, unless that is the same
    after a token of its own for the space. Each form once.

    Raises:
        ApiError: "invalid_value" on more than MAX_BAD_WORDS words, or one of no tokens or too many.
    """
    if len(words) > MAX_BAD_WORDS:
        raise _invalid(f"has {len(words)} words; at most {MAX_BAD_WORDS} fit")
    texts = [text for word in words for text in (word.lstrip(), " " + word.lstrip())]
    encoded = [tuple(each.ids) for each in tokenizer.encode_batch(texts, add_special_tokens=False)]
    forms: dict[tuple[int, ...], None] = {}
    for word, begins, within in zip(words, encoded[::2], encoded[1::2], strict=True):
        if not 0 < len(begins) <= MAX_BAD_WORD_TOKENS:
            raise _invalid(f"has {word[:40]!r}, which is {len(begins)} tokens; 1 to {MAX_BAD_WORD_TOKENS} fit")
        forms[begins] = None
        if within[1:] != begins and len(within) <= MAX_BAD_WORD_TOKENS:
            forms[within] = None
    return tuple(forms)


def _invalid(problem: str) -> ApiError:
    return ApiError("invalid_value", f"'bad_words' {problem}.", param="bad_words")
