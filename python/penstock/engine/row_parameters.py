"""The parameters of a row, as the device knows them: one table, derived from the fields of `SamplingParams`. No jax.

A new parameter is a field there, and what the sampler (`engine.sampling`) does with it.
"""

from __future__ import annotations

import struct
from dataclasses import fields
from enum import IntEnum
from operator import attrgetter

import numpy as np

from penstock.engine.packing import Layout
from penstock.engine.token_rules import WITH_RULES, RowUse
from penstock.generation import MAX_STOP_IDS, RowParameter, SamplingParams

#: What travels beside the fields of `SamplingParams`: two words of randomness, which the position is folded into on
#: the device, the tokens that end the row, the model's own and the request's, filled up with -1, the prompt's length,
#: and a `RowUse`.
_OF_THE_SEQUENCE = {
    "rng_key": RowParameter("uint32", 0, size=2, is_for_draws=True, is_plain=True),
    "stop_ids": RowParameter("int32", -1, size=MAX_STOP_IDS, is_plain=True),
    "prompt_length": RowParameter("int32", 0, is_plain=True),
    "uses": RowParameter("int32", RowUse.NOTHING),
}

_OF_THE_SAMPLING: dict[str, RowParameter] = {
    field.name: field.metadata["row"] for field in fields(SamplingParams) if "row" in field.metadata
}

ROW_PARAMETERS = _OF_THE_SAMPLING | _OF_THE_SEQUENCE

ROW_LAYOUT = Layout.of(**{name: parameter.size for name, parameter in ROW_PARAMETERS.items()})
ROW_SIZE = ROW_LAYOUT.num_words


def _neutral_row() -> np.ndarray:
    row, parts = ROW_LAYOUT.zeros()
    for name, parameter in ROW_PARAMETERS.items():
        parts[name].view(parameter.dtype)[:] = parameter.neutral
    return row


NEUTRAL_ROW = _neutral_row()

_CODES = {"int32": "i", "uint32": "I", "float32": "f"}
_WORDS = struct.Struct("=" + "".join(f"{each.size}{_CODES[each.dtype]}" for each in ROW_PARAMETERS.values()))


# A row is packed for every request: its values are read by one call.
_of_the_sampling = attrgetter(*_OF_THE_SAMPLING)
_DRAWS = [(place, each.neutral) for place, each in enumerate(_OF_THE_SAMPLING.values()) if each.is_for_draws]
_NO_STOP_IDS = (-1,) * MAX_STOP_IDS


def pack_row(
    sampling: SamplingParams, *, rng_key: tuple[int, int], stop_ids: tuple[int, ...], prompt_length: int = 0
) -> np.ndarray:
    """A sequence's parameters as its row, int32 [ROW_SIZE], read-only.

    `max_tokens` is set, `stop_ids` at most MAX_STOP_IDS.
    """
    words: list[float] = list(_of_the_sampling(sampling))
    if sampling.is_greedy:
        rng_key = (0, 0)
        for place, neutral in _DRAWS:
            words[place] = neutral
    words += rng_key
    words += stop_ids
    words += _NO_STOP_IDS[len(stop_ids) :]
    words.append(prompt_length)
    words.append(RowUse.of(sampling))
    return np.frombuffer(_WORDS.pack(*words), np.int32)


class Variant(IntEnum):
    """How much of the sampler a program has; each can do what those below it can."""

    PLAIN = 0  # a temperature
    FILTERED = 1  # top-k, top-p, min-p, min_tokens
    FULL = 2  # all of `RowUse`, and masks


_NOT_PLAIN = np.concatenate(
    [np.full(parameter.size, not parameter.is_plain) for parameter in ROW_PARAMETERS.values()], dtype=bool
)


def variant_of(row: np.ndarray) -> Variant:
    """The least that serves the row."""
    if row_use(row):
        return Variant.FULL
    is_plain = (row[_NOT_PLAIN] == NEUTRAL_ROW[_NOT_PLAIN]).all()
    return Variant.PLAIN if is_plain else Variant.FILTERED


_USES, _WITH_RULES = ROW_LAYOUT.slices["uses"].start, int(WITH_RULES)


def has_rules(row: np.ndarray) -> bool:
    """Whether `TokenRules` go down with the row."""
    return bool(row.item(_USES) & _WITH_RULES)


def row_use(row: np.ndarray) -> RowUse:
    """What the row uses of the whole sampler."""
    return RowUse(int(row[ROW_LAYOUT.slices["uses"]][0]))
