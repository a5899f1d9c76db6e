"""From texts that may not be made to the sequences of tokens that the engine bans.

As vLLM reads them, but that it passes over a word after a space where that has another number of tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer

from penstock.errors import ApiError
from penstock.generation import MAX_BAD_WORD_TOKENS, MAX_BAD_WORDS


def bad_word_ids(tokenizer: Tokenizer, words: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """The tokens of each word as it begins a text, and as it stands within one, after a space, unless those end with
    the same tokens (the space being a token of its own). Each form once.

    Raises:
        ApiError: "invalid_value" on more than MAX_BAD_WORDS words, or one of no tokens or too many.
    """
    if len(words) > MAX_BAD_WORDS:
        raise _invalid(f"has {len(words)} words; at most {MAX_BAD_WORDS} fit")
    texts = [text for word in words for text in (word.lstrip(), " " + word.lstrip())]
    encoded = [tuple(each.ids) for each in tokenizer.encode_batch(texts, add_special_tokens=False)]
    forms: dict[tuple[int, ...], None] = {}
    for word, begins, within in zip(words, encoded[::2], encoded[1::2], strict=True):
        of_word = [begins] if within[-len(begins) :] == begins else [begins, within]
        if not all(0 < len(form) <= MAX_BAD_WORD_TOKENS for form in of_word):
            raise _invalid(f"has {word[:40]!r}, which is {len(begins)} tokens; 1 to {MAX_BAD_WORD_TOKENS} fit")
        forms |= dict.fromkeys(of_word)
    return tuple(forms)


def _invalid(problem: str) -> ApiError:
    return ApiError("invalid_value", f"'bad_words' {problem}.", param="bad_words")
