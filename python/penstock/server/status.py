"""Where a server stands, in one word, and what it has done, in a few counters."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from penstock import _core

_TOKENS = "vllm:generation_tokens_total"


class ServerStatus(StrEnum):
    """STARTING: loading; READY: accepts requests; BUSY: accepts them, but they must wait; ERROR: an engine cannot
    answer; SHUTTING_DOWN: draining."""

    STARTING = "starting"
    READY = "ready"
    BUSY = "busy"
    ERROR = "error"
    SHUTTING_DOWN = "shutting_down"


@dataclass
class ServerMetrics:
    """Counters since the start, a snapshot. A stream counts when it has ended, by how it ended."""

    total_requests: int = 0
    successful_requests: int = 0
    failed_requests: int = 0
    total_tokens_generated: int = 0
    average_tokens_per_second: float = 0.0
    uptime_seconds: float = 0.0
    start_time: float = field(default_factory=time.time)


class CountedMetrics(ServerMetrics):
    """The counters of a server at the moment they are asked for. What is set here is counted, or refused.

    Args:
        counters: of the process.
        model_name: the label of tokens that handlers add.
    """

    __slots__ = ("_counters", "_model_name")
    _counters: _core.Metrics
    _model_name: str

    def __init__(self, counters: _core.Metrics, *, model_name: str, start_time: float) -> None:
        object.__setattr__(self, "_counters", counters)
        object.__setattr__(self, "_model_name", model_name)
        vars(self).update(counters.snapshot(), start_time=start_time)

    def __setattr__(self, name: str, value: Any) -> None:
        """Counts what `total_tokens_generated` grew by.

        Raises:
            AttributeError: the server counts that by itself.
        """
        if name not in vars(self):
            raise AttributeError(f"ServerMetrics has no counter {name!r}.")
        if name != "total_tokens_generated":
            raise AttributeError(f"The server counts '{name}' by itself: leave out the line that sets it.")
        if value < self.total_tokens_generated:
            raise AttributeError("'total_tokens_generated' is a counter: it only grows.")
        self._counters.model(self._model_name).add(_TOKENS, value - self.total_tokens_generated)
        vars(self)[name] = value
