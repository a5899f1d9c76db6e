"""How fast a full queue empties: the measure behind `retry-after`. Times are handed in."""

from __future__ import annotations

from collections import deque

_WINDOW = 64  # ends over which the rate is measured
_FIRST_S = 1.0  # before anything was measured
_MIN_S, _MAX_S = 0.1, 60.0  # OpenAI's SDKs ignore a wait of more than 60 s


class DrainRate:
    """Requests that end per second while others wait. An idle spell says nothing and is not counted."""

    def __init__(self) -> None:
        self._since = 0.0
        self._ends: deque[float] = deque(maxlen=_WINDOW)
        self._last_s_per_request = _FIRST_S

    def restart(self, now: float) -> None:
        """The queue was empty and is no longer: a new spell begins. The last one's rate stays until ends come."""
        if self._ends:
            self._last_s_per_request = (self._ends[-1] - self._since) / len(self._ends)
        self._ends.clear()
        self._since = now

    def count_end(self, now: float) -> None:
        """A request ended while others waited."""
        if len(self._ends) == _WINDOW:
            self._since = self._ends[0]  # which falls out of the window now
        self._ends.append(now)

    def time_for(self, num_requests: int, now: float) -> float:
        """Seconds until `num_requests` will have ended, within what a client heeds."""
        s_per_request = (now - self._since) / len(self._ends) if self._ends else self._last_s_per_request
        return min(max(num_requests * s_per_request, _MIN_S), _MAX_S)
