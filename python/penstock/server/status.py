"""Where a server stands, in one word, and what it has done, in a few counters."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import StrEnum


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
