"""GET /metrics: the counters, for Prometheus or for people."""

from __future__ import annotations

from penstock import _core
from penstock.http.request import Request
from penstock.http.response import JSONResponse, Response
from penstock.server.status import ServerMetrics, ServerStatus

_PROMETHEUS_TEXT = "text/plain; version=0.0.4; charset=utf-8"


def metrics(request: Request, *, status: ServerStatus, snapshot: ServerMetrics, counters: _core.Metrics) -> Response:
    """Prometheus text of `counters`, or `snapshot` as JSON for who prefers application/json."""
    if request.head.accepts_json:
        return JSONResponse({"status": status.value, **vars(snapshot)})
    return Response(counters.render(), media_type=_PROMETHEUS_TEXT)
