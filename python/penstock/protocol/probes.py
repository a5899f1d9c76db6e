"""The bodies of /health, /ready, /version and /metrics as JSON, as models for documents and clients."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


class HealthResponse(BaseModel):
    """Whether the server lives.

    Attributes:
        active_requests: other than this one.
        models: by name, to who may ask with a key.
    """

    status: str
    uptime_seconds: float
    active_requests: int
    models: dict[str, dict[str, Any]] | None = None


class ReadyResponse(BaseModel):
    """Whether the server accepts work. Attributes: detail: why not, or how far loading has come."""

    status: str
    detail: str | None = None


class VersionResponse(BaseModel):
    """The server's version."""

    version: str


class MetricsResponse(BaseModel):
    """Counters since the start. A stream counts when it has ended, by how it ended."""

    status: str
    total_requests: int
    successful_requests: int
    failed_requests: int
    total_tokens_generated: int
    average_tokens_per_second: float
    uptime_seconds: float
    start_time: float
