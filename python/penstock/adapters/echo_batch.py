"""What the echo engine says, and the sequences it says it to."""

from __future__ import annotations

import sys
from array import array
from itertools import compress
from typing import TYPE_CHECKING

from penstock import _core
from penstock.errors import ModelError

if TYPE_CHECKING:
    from penstock.prompt import PromptEncoder

TEXT = "Water runs down the pipe and turns the wheel, and the wheel turns the stone. "


def visible_tokens(prompt: PromptEncoder) -> array[int]:
    """The ids of TEXT that show text by themselves: every token is then an event of its own."""
    ids = prompt.tokenizer.encode(TEXT, add_special_tokens=False).ids
    visible = [token for token in ids if prompt.vocabulary.decode([token])]
    if not visible:
        raise ModelError("The model's tokenizer cannot spell the echo engine's text.")
    return array("i", visible)


class EchoBatch:
    """The live sequences as parallel arrays. Attributes: keys: uint64 [B] row keys."""

    def __init__(self) -> None:
        self.keys = array("Q")
        self._num_steps = 0
        # Of each row: the step that would have given its first token had it never had to wait, and its limit.
        self._starts: list[int] = []
        self._limits: list[int] = []
        # No row ends before this step.
        self._first_end = sys.maxsize

    def __len__(self) -> int:
        return len(self.keys)

    def add(self, row_key: int, *, max_tokens: int) -> None:
        self.keys.append(row_key)
        self._starts.append(self._num_steps)
        self._limits.append(max_tokens)
        self._first_end = min(self._first_end, self._num_steps + max_tokens)

    def drop(self, row_keys: set[int]) -> None:
        kept = [key not in row_keys for key in self.keys]
        self.keys = array("Q", compress(self.keys, kept))
        self._starts = list(compress(self._starts, kept))
        self._limits = list(compress(self._limits, kept))

    def next_tokens(self, tokens: array[int], has_room: bytes) -> tuple[array[int], array[int], bytes]:
        """Each sequence's next token: keys, ids and ends of the rows that `has_room` marks (all, when it is empty)."""
        keys, starts, limits = self.keys, self._starts, self._limits
        if has_room and not all(has_room):
            keys = array("Q", compress(keys, has_room))
            starts, limits = list(compress(starts, has_room)), list(compress(limits, has_room))
            self._starts = [start + (not has) for start, has in zip(self._starts, has_room, strict=True)]
        now, period = self._num_steps, len(tokens)
        ids = array("i", [tokens[(now - start) % period] for start in starts])
        self._num_steps += 1
        return keys, ids, self._ends(starts, limits)

    def _ends(self, starts: list[int], limits: list[int]) -> bytes:
        now = self._num_steps
        if now < self._first_end:
            return bytes(len(starts))
        all_ends = [start + limit for start, limit in zip(self._starts, self._limits, strict=True)]
        self._first_end = min((end for end in all_ends if end > now), default=sys.maxsize)
        return bytes(
            [_core.END_LENGTH if start + limit == now else 0 for start, limit in zip(starts, limits, strict=True)]
        )
