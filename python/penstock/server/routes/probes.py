"""GET /health and GET /ready: what load balancers and supervisors ask, without a key."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import Any

from penstock.http.error_response import error_headers
from penstock.http.response import JSONResponse
from penstock.server.status import ServerStatus

#: A step that has taken longer is stuck: the slowest step is a span of a prompt, seconds on a slow CPU.
STUCK_AFTER_S = 60.0


def health(
    status: ServerStatus,
    models: dict[str, dict[str, Any]],
    *,
    since: float,
    num_open_requests: int,
    may_see_models: bool,
) -> JSONResponse:
    """200 while the process is worth keeping, 503 once an engine is dead or stuck in a step.

    Args:
        models: what is to be told of each model, by name.
        since: Unix seconds at which the server started.
        num_open_requests: this one left out.
    """
    is_stuck = any(model.get("heartbeat_age_s", 0.0) > STUCK_AFTER_S for model in models.values())
    is_alive = status is not ServerStatus.ERROR and not is_stuck
    content: dict[str, Any] = {
        "status": status.value if is_alive else ServerStatus.ERROR.value,
        "uptime_seconds": round(time.time() - since, 3),
        "active_requests": num_open_requests,
    }
    if may_see_models:
        content["models"] = models
    return JSONResponse(content, HTTPStatus.OK if is_alive else HTTPStatus.SERVICE_UNAVAILABLE)


def ready(status: ServerStatus, detail: str) -> JSONResponse:
    """200 while new work is accepted; else 503 with `detail`: the progress of loading, or the reason."""
    if status in (ServerStatus.READY, ServerStatus.BUSY):
        return JSONResponse({"status": status.value})
    content = {"status": status.value, "detail": detail}
    return JSONResponse(content, HTTPStatus.SERVICE_UNAVAILABLE, headers=error_headers(503))
