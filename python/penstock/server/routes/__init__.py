"""The routes every server has, as data, and the probes behind two of them."""

from penstock.server.routes.probes import health, ready
from penstock.server.routes.table import endpoints

__all__ = ["endpoints", "health", "ready"]
