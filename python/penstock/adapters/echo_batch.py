"""What the echo engine says, and the sequences it says it to."""

from __future__ import annotations

from array import array
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
        self._positions: list[int] = []
        self._limits: list[int] = []

    def __len__(self) -> int:
        return len(self.keys)

    def add(self, row_key: int, *, max_tokens: int) -> None:
        self.keys.append(row_key)
        self._positions.append(0)
        self._limits.append(max_tokens)

    def drop(self, row_keys: set[int]) -> None:
        kept = [i for i, key in enumerate(self.keys) if key not in row_keys]
        self.keys = array("Q", [self.keys[i] for i in kept])
        self._positions = [self._positions[i] for i in kept]
        self._limits = [self._limits[i] for i in kept]

    def next_tokens(self, tokens: array[int], has_room: bytes) -> tuple[array[int], array[int], bytes]:
        """Each sequence's next token: keys, ids and ends of the rows that `has_room` marks (all, when it is empty)."""
        period = len(tokens)
        if has_room and not all(has_room):
            rows = [i for i, has in enumerate(has_room) if has]
            keys = array("Q", [self.keys[i] for i in rows])
            positions = [self._positions[i] for i in rows]
            limits = [self._limits[i] for i in rows]
            for i in rows:
                self._positions[i] += 1
        else:
            keys, positions, limits = self.keys, self._positions, self._limits
            self._positions = [position + 1 for position in positions]
        ids = array("i", [tokens[position % period] for position in positions])
        length = _core.END_LENGTH
        ends = bytes([length if p + 1 == limit else 0 for p, limit in zip(positions, limits, strict=True)])
        return keys, ids, ends
