"""GET /health and GET /ready: what load balancers and supervisors ask, without a key."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from penstock.server.error_response import error_headers
from penstock.server.response import JSONResponse
from penstock.server.status import ServerStatus

if TYPE_CHECKING:
    from penstock.server.base import BaseInferenceApiServer
    from penstock.server.request import Request

#: A step that has taken longer is stuck: the slowest step is a prefill slice, seconds on a slow CPU.
STUCK_AFTER_S = 60.0


def health(server: BaseInferenceApiServer, request: Request) -> JSONResponse:
    """200 while the process is worth keeping, 503 once an engine is dead or stuck in a step."""
    status, models = server.status, server._models_health()
    is_stuck = any(model.get("heartbeat_age_s", 0.0) > STUCK_AFTER_S for model in models.values())
    is_alive = status is not ServerStatus.ERROR and not is_stuck
    content: dict[str, Any] = {
        "status": status.value if is_alive else ServerStatus.ERROR.value,
        "uptime_seconds": round(time.time() - server.start_time, 3),
        "active_requests": len(server._active_requests) - 1,  # this one is no work
    }
    if request.is_authorized:
        content["models"] = models
    return JSONResponse(content, HTTPStatus.OK if is_alive else HTTPStatus.SERVICE_UNAVAILABLE)


def ready(server: BaseInferenceApiServer) -> JSONResponse:
    """200 while new work is accepted; else 503 with the progress of loading or the reason."""
    status = server.status
    if status in (ServerStatus.READY, ServerStatus.BUSY):
        return JSONResponse({"status": status.value})
    content = {"status": status.value, "detail": server._progress()}
    return JSONResponse(content, HTTPStatus.SERVICE_UNAVAILABLE, headers=error_headers(503))
