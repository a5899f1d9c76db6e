"""The rows under a grammar: whose next mask is ready, who is through, and who can go no further.

Masks are computed in Rust, by threads of its own; here is only the hand-over, one call each way per step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from penstock._core import Grammar, GrammarRows

if TYPE_CHECKING:
    from penstock.engine.interface import StepOutput

#: How long an engine without other work waits for a mask before it looks at the queue again.
WAIT_S = 0.02


@dataclass(frozen=True, slots=True)
class Constrained:
    """What `Constraints.take` found.

    Attributes:
        indices: int32 [M], the places of the rows whose masks are ready, among those that were asked for.
        masks: uint32 [M, ceil(V / 32)]; None where M is 0.
        complete: row keys of those whose text is whole: nothing can follow it.
        failed: row keys of those that can neither go on nor end, and why, in one sentence.
    """

    indices: np.ndarray
    masks: np.ndarray | None
    complete: list[int] = field(default_factory=list)
    failed: list[tuple[int, str]] = field(default_factory=list)


class Constraints:
    """Knows row keys and masks; nothing of slots. Free of cost, but for a look, while no row has joined.

    Args:
        num_threads: that compute masks; started with the first row.
    """

    def __init__(self, num_threads: int) -> None:
        self._rows = GrammarRows(num_threads=num_threads)
        self._joined: set[int] = set()

    def __bool__(self) -> bool:
        """Whether any row is constrained."""
        return bool(self._joined)

    def join(self, row_key: int, grammar: Grammar) -> None:
        """A row that has made no token. Its first mask is ready at once."""
        self._joined.add(row_key)
        self._rows.join(row_key, grammar)

    def leave(self, row_key: int) -> None:
        """Rows that never joined are ignored."""
        if row_key in self._joined:
            self._joined.discard(row_key)
            self._rows.leave(row_key)

    def take(self, row_keys: np.ndarray, *, may_wait: bool = False) -> Constrained:
        """The masks of those of `row_keys`, uint64 [R], that have theirs; each mask is given once.

        Args:
            may_wait: where nothing is ready but something will be, wait for it, WAIT_S at most.
        """
        wait_s = WAIT_S if may_wait else 0.0
        indices, masks, complete, failed = self._rows.take_ready(_buffer(row_keys), wait_s=wait_s)
        num_ready = len(indices) // 4
        return Constrained(
            np.frombuffer(indices, np.int32),
            np.frombuffer(masks, np.uint32).reshape(num_ready, -1) if num_ready else None,
            complete,
            failed,
        )

    def advance(self, row_keys: np.ndarray, output: StepOutput) -> None:
        """The tokens that came of a step whose masks were taken: one per row. The next masks are computed meanwhile."""
        self._rows.advance(_buffer(row_keys), _buffer(output.ids), _buffer(output.ends))


def _buffer(array: np.ndarray) -> Any:
    """What numpy's types do not say of an array on 3.11."""
    return array
