"""How many of the tokens that a request may make it is likely to make: learnt from those that have ended.

What is learnt is the share of `max_tokens` that sequences used, as a histogram in which the past fades. From it follows
what a sequence that has used some share already is likely to use yet: one that has outlived most others counts as one
of the long ones. Before anything is known, everybody is taken to use all.
"""

from __future__ import annotations

import numpy as np

#: Lower edges of the histogram's bins: a request without a limit of its own may use a thousandth of what it may.
_EDGES = np.array([0.0, *(2.0**-power for power in range(12, 4, -1)), *(step / 16 for step in range(1, 16))])
#: How much of the past is kept at each end: some fifty sequences are known at a time.
_FADE = 0.98
#: As many sequences that used all are believed in at first.
_NUM_FIRST = 16
#: Ends that may wait to be counted together, which takes as long as to count one.
_MAX_UNCOUNTED = 64


class UseForecast:
    """Shares lie in [0, 1]."""

    def __init__(self) -> None:
        self._sums = np.zeros((3, len(_EDGES)))  # by bin: how many, their shares, the squares of these
        self._sums[:, -1] = _NUM_FIRST
        self._moments: tuple[np.ndarray, np.ndarray] | None = None
        self._uncounted: list[float] = []  # the shares of those that ended last

    def count_end(self, share: float) -> None:
        """A sequence has ended that used `share` of what it might have."""
        self._uncounted.append(share)
        if len(self._uncounted) == _MAX_UNCOUNTED:
            self._count()

    def remaining(self, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What sequences that have used `shares`, float64 [B], are likely to use yet: mean and variance, [B] each."""
        if self._uncounted:
            self._count()
        if self._moments is None:
            self._moments = self._from_each_edge()
        bins = np.searchsorted(_EDGES, shares, side="right") - 1
        means, variances = self._moments
        return np.minimum(means[bins], 1 - shares), variances[bins]

    def _count(self) -> None:
        """What ended last, each end fading those before it."""
        shares = np.array(self._uncounted)
        self._uncounted.clear()
        weights = _FADE ** np.arange(len(shares) - 1, -1, -1)
        bins = np.searchsorted(_EDGES, shares, side="right") - 1
        self._sums *= _FADE ** len(shares)
        for power in range(len(self._sums)):
            self._sums[power] += np.bincount(bins, weights * shares**power, len(_EDGES))
        self._moments = None

    def _from_each_edge(self) -> tuple[np.ndarray, np.ndarray]:
        """Of those that used at least as much as the bin's lower edge: how much more, and its variance."""
        weights, sums, squares = np.cumsum(self._sums[:, ::-1], axis=1)[:, ::-1]
        weights = np.maximum(weights, 1e-9)
        means = sums / weights
        known = means > _EDGES  # elsewhere nobody has come so far: they may use all that is left
        rest = np.where(known, means - _EDGES, 1 - _EDGES)
        return rest, np.where(known, np.maximum(squares / weights - means**2, 0), 0)
