"""The routes every server has: their table, and what stands behind those that need no engine."""

from penstock.server.routes.apis import api_endpoints
from penstock.server.routes.metrics import metrics
from penstock.server.routes.probes import health, ready
from penstock.server.routes.table import endpoints
from penstock.server.routes.tools import execute_tool

__all__ = ["api_endpoints", "endpoints", "execute_tool", "health", "metrics", "ready"]
