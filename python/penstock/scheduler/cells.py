"""An array's cells, one at a time."""

from __future__ import annotations

import numpy as np


def cells(array: np.ndarray) -> memoryview[int]:
    """The same memory as `array`, [N], read and written as Python's own numbers: for one of them numpy takes ten times
    as long. A number that its dtype cannot hold is a ValueError."""
    view: memoryview[int] = memoryview(array)  # type: ignore[arg-type]  # a buffer, which numpy says from 3.12 on
    return view
