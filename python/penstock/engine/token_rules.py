"""What a row asks of single tokens, as the device holds it: one row of int32 words per slot. No jax here.

It goes down once, with the join, in a call of its own, so that rows without rules (nearly all) pay nothing for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntFlag

import numpy as np

from penstock.engine.interface import TokenRules
from penstock.engine.packing import Layout
from penstock.generation import MAX_BAD_WORD_TOKENS, MAX_BAD_WORDS, MAX_LOGIT_BIAS, SamplingParams

#: A bad word has a form with and one without a space before it.
MAX_BAD_WORD_FORMS = 2 * MAX_BAD_WORDS
#: Tokens that a sequence has made before it takes a slot: as many are counted for its penalties at once.
NUM_COUNTED = 256
#: The newest tokens that a bad word's last one can follow.
NUM_RECENT = MAX_BAD_WORD_TOKENS - 1


class RowUse(IntFlag):
    """What a row needs the whole sampler for: its parameter `uses`."""

    NOTHING = 0
    PENALTIES = 1
    LOGIT_BIAS = 2
    ALLOWED_IDS = 4
    BAD_WORDS = 8
    LOGPROBS = 16

    @classmethod
    def of(cls, sampling: SamplingParams) -> RowUse:
        """What these parameters ask for."""
        asked = (
            sampling.has_penalty, sampling.logit_bias, sampling.allowed_token_ids, sampling.bad_word_ids,
            sampling.needs_logprobs,
        )  # fmt: skip
        if not any(asked):  # nearly all
            return _NOTHING
        return cls(sum(use for use, is_asked in zip(_USES, asked, strict=True) if is_asked))


_NOTHING = RowUse.NOTHING  # a member's look-up takes longer than all else that is asked of most rows
_USES = (RowUse.PENALTIES, RowUse.LOGIT_BIAS, RowUse.ALLOWED_IDS, RowUse.BAD_WORDS, RowUse.LOGPROBS)
#: Those for which `TokenRules` go down with the join.
WITH_RULES = RowUse.PENALTIES | RowUse.LOGIT_BIAS | RowUse.ALLOWED_IDS | RowUse.BAD_WORDS


def num_mask_words(vocab_size: int) -> int:
    """Of a bit for each token."""
    return -(-vocab_size // 32)


def rules_layout(vocab_size: int) -> Layout:
    """A slot's words.

    Parts: allowed and prompt_seen, bits, of which token t is bit t % 32 of word t // 32; bias_ids, beyond the
    vocabulary where there is none, and bias, their float32 bits; bad_words [MAX_BAD_WORD_FORMS, MAX_BAD_WORD_TOKENS],
    each at the right end of its row, -1 before it.
    """
    num_words = num_mask_words(vocab_size)
    return Layout.of(
        allowed=num_words, prompt_seen=num_words, bias_ids=MAX_LOGIT_BIAS, bias=MAX_LOGIT_BIAS,
        bad_words=MAX_BAD_WORD_FORMS * MAX_BAD_WORD_TOKENS,
    )  # fmt: skip


def pack_rules(rules: TokenRules, vocab_size: int) -> np.ndarray:
    """As `rules_layout`, int32. All ids are in the vocabulary, all lists within their bounds."""
    words, parts = rules_layout(vocab_size).zeros()
    sampling = rules.sampling
    parts["allowed"][:] = token_bits(sampling.allowed_token_ids, vocab_size)
    parts["prompt_seen"][:] = token_bits(rules.prompt_ids, vocab_size)
    parts["bias_ids"][:] = vocab_size
    num_biased = len(sampling.logit_bias)
    parts["bias_ids"][:num_biased] = list(sampling.logit_bias)
    parts["bias"][:num_biased] = np.array(list(sampling.logit_bias.values()), np.float32).view(np.int32)
    bad_words = parts["bad_words"].reshape(MAX_BAD_WORD_FORMS, MAX_BAD_WORD_TOKENS)
    bad_words[:] = -1
    for row, word in zip(bad_words, sampling.bad_word_ids, strict=False):
        row[-len(word) :] = word
    return words


def token_bits(ids: Iterable[int] | np.ndarray, vocab_size: int) -> np.ndarray:
    """A bit for each of `ids`, int32 [ceil(V / 32)]."""
    is_in = np.zeros(num_mask_words(vocab_size) * 32, bool)
    is_in[np.asarray(ids, np.int64)] = True
    return np.packbits(is_in, bitorder="little").view("<i4")
