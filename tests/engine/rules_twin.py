"""The rules for single tokens in plain Python, one token after the other: the judge of `penstock.engine.logit_rules`.

Written from vLLM's documentation (what is banned, and the order), transformers' RepetitionPenaltyLogitsProcessor and
OpenAI's reference (presence and frequency penalty).
"""

from __future__ import annotations

import numpy as np

from penstock.generation import SamplingParams


def changed_logits(
    logits: np.ndarray,
    sampling: SamplingParams,
    *,
    stops: list[int],
    prompt: list[int],
    made: list[int],
    mask: list[int] | None = None,
) -> np.ndarray:
    """What is left of the logits [V] of one row before temperature, in float64."""
    scores, vocab = logits.astype(np.float64), range(len(logits))
    banned = set() if mask is None else set(vocab) - set(mask)
    if sampling.allowed_token_ids:
        banned |= set(vocab) - set(sampling.allowed_token_ids)
    for *prefix, last in sampling.bad_word_ids:
        if not prefix or made[-len(prefix) :] == prefix:
            banned.add(last)
    if len(made) < sampling.min_tokens:
        banned |= set(stops)
    scores[list(banned)] = -np.inf
    for token, bias in sampling.logit_bias.items():
        scores[token] += bias
    for token in set(prompt) | set(made):
        repetition = sampling.repetition_penalty
        scores[token] = scores[token] / repetition if scores[token] > 0 else scores[token] * repetition
    for token in set(made):
        scores[token] -= sampling.frequency_penalty * made.count(token) + sampling.presence_penalty
    return scores
