"""Named parts of one int32 array: what the host packs under a name, the device finds under it. No jax here.

One small array goes down per dispatch (eight of them cost six times as much); floats travel as their bits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Layout:
    """Parts that stand one after the other along an array's last axis.

    Attributes:
        sizes: int32 words of each part.
        num_words: all of them together.
        slices: where each part stands.
    """

    sizes: tuple[tuple[str, int], ...]
    num_words: int = field(init=False)
    slices: dict[str, slice] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        ends = list(accumulate(size for _, size in self.sizes))
        slices = {name: slice(end - size, end) for (name, size), end in zip(self.sizes, ends, strict=True)}
        object.__setattr__(self, "num_words", ends[-1] if ends else 0)
        object.__setattr__(self, "slices", slices)

    @classmethod
    def of(cls, **sizes: int) -> Layout:
        """The parts in the order in which they are named."""
        return cls(tuple(sizes.items()))

    def parts(self, packed: Any) -> dict[str, Any]:
        """Each part of `packed` [..., num_words], a numpy or a jax array; of numpy's, views that can be written to."""
        return {name: packed[..., where] for name, where in self.slices.items()}

    def zeros(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """A new array, and its parts to be filled."""
        packed = np.zeros(self.num_words, np.int32)
        return packed, self.parts(packed)
