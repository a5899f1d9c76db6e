"""GET /metrics: the counters, for Prometheus or for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.server.response import JSONResponse, Response

if TYPE_CHECKING:
    from penstock.server.base import BaseInferenceApiServer
    from penstock.server.request import Request

_PROMETHEUS_TEXT = "text/plain; version=0.0.4; charset=utf-8"


def metrics(server: BaseInferenceApiServer, request: Request) -> Response:
    """Prometheus text, or the plain counters as JSON for who prefers application/json."""
    if request.head.accepts_json:
        return JSONResponse({"status": server.status.value, **vars(server.metrics)})
    return Response(server.counters.render(), media_type=_PROMETHEUS_TEXT)
