"""The slots of the device state: which are free, which hold a sequence, which decode. Arrays by slot, no tokens."""

from __future__ import annotations

import numpy as np

from penstock.scheduler.cells import cells


class Batch:
    """Seats for `num_slots` sequences. Steady decode costs nothing: rows are remade only when one joins or ends.

    Attributes:
        row_keys: uint64 [S], of the seated; 0 where the slot is free.
    """

    def __init__(self, num_slots: int) -> None:
        self.row_keys = np.zeros(num_slots, np.uint64)
        self._is_decoding = np.zeros(num_slots, bool)
        self._is_constrained = np.zeros(num_slots, bool)
        self._key_cells, self._decoding_cells = cells(self.row_keys), cells(self._is_decoding)
        self._constrained_cells = cells(self._is_constrained)
        self._free = list(range(num_slots - 1, -1, -1))
        self._rows: tuple[np.ndarray, np.ndarray] | None = None
        self._constrained_rows: tuple[np.ndarray, np.ndarray] | None = None

    def num_free(self) -> int:
        """Slots that a sequence could have at once. From any thread."""
        return len(self._free)

    @property
    def num_decoding(self) -> int:
        """Slots that decode, constrained or not."""
        return len(self.decode_rows()[0]) + len(self.constrained_rows()[0])

    def seat(self, row_key: int) -> int:
        """Gives a sequence a free slot."""
        slot = self._free.pop()
        self._key_cells[slot] = row_key
        return slot

    def start_decoding(self, slot: int, *, is_constrained: bool = False) -> None:
        """The slot's prompt is on the device: it takes part in decode steps from now on. A constrained one does so only
        when its mask is ready, and apart from the others."""
        self._decoding_cells[slot], self._constrained_cells[slot] = True, is_constrained
        self._rows = self._constrained_rows = None

    def leave(self, slot: int) -> None:
        """Frees a slot. Steps in flight keep the rows they were dispatched with."""
        self._decoding_cells[slot], self._key_cells[slot] = False, 0
        self._free.append(slot)
        self._rows = self._constrained_rows = None

    def decode_rows(self) -> tuple[np.ndarray, np.ndarray]:
        """(slots int32 [B], row keys uint64 [B]) of the decoding that nothing constrains, in slot order.

        The arrays are replaced, never written to, when the rows change: a step in flight may keep them.
        """
        if self._rows is None:
            self._rows = self._rows_of(self._is_decoding > self._is_constrained)  # decoding, and not constrained
        return self._rows

    def constrained_rows(self) -> tuple[np.ndarray, np.ndarray]:
        """The same of the constrained."""
        if self._constrained_rows is None:
            self._constrained_rows = self._rows_of(self._is_decoding & self._is_constrained)
        return self._constrained_rows

    def _rows_of(self, is_wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        slots = is_wanted.nonzero()[0].astype(np.int32)
        return slots, self.row_keys.take(slots)

    def check_integrity(self, decoding: dict[int, int], num_seated: int) -> None:
        """Asserts that the rows are `decoding` (row key by slot) and that free and seated slots are all, each once."""
        rows = [row for part in (self.decode_rows(), self.constrained_rows()) for row in zip(*part, strict=True)]
        assert len(rows) == len(decoding), "a row decodes twice"
        assert dict(rows) == decoding, "a row decodes for somebody else"
        assert len(set(self._free)) == len(self._free) == len(self.row_keys) - num_seated, "slots lost or held twice"
        assert not self._is_decoding[self._free].any(), "a free slot decodes"
