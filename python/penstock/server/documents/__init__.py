"""What a server tells about itself: /openapi.json from its endpoints, and /docs, a page to try them."""

from penstock.server.documents.openapi import Info, build_document
from penstock.server.documents.routes import Documents

__all__ = ["Documents", "Info", "build_document"]
