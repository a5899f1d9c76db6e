"""What was dispatched and not yet fetched: rows and the results that are on their way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from penstock.engine.interface import StepResult


@dataclass(slots=True)
class InFlight:
    """One step. It keeps the row keys of its dispatch: the slots may be somebody else's when it lands."""

    keys: list[np.ndarray] = field(default_factory=list)
    results: list[StepResult] = field(default_factory=list)

    def add(self, keys: np.ndarray, result: StepResult) -> None:
        """`result` has one row for each of `keys`, uint64 [B]."""
        self.keys.append(keys)
        self.results.append(result)

    def fetch(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Waits for the device: row keys uint64 [B], ids int32 [B, N], ends uint8 [B]. A key may appear twice;
        the arrays are C-contiguous, as the hub wants them."""
        ids, ends = zip(*(result.fetch() for result in self.results), strict=True)
        return _joined(self.keys), _joined(ids), _joined(ends)


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.ascontiguousarray(parts[0]) if len(parts) == 1 else np.concatenate(parts)
