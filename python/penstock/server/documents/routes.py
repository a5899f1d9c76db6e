"""GET /openapi.json, GET /docs and what that page loads. Open to all: it tells of the server, not of its models."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from importlib.resources import files
from string import Template
from typing import Any

import orjson

from penstock.errors import ApiError
from penstock.http.endpoint import EndpointConfig
from penstock.http.request import Request
from penstock.http.response import Response
from penstock.http.worker_pool import WorkerPool
from penstock.server.documents.representation import Representation

_ASSETS = files("penstock.server.documents.assets")
_SCRIPT, _STYLE = "text/javascript; charset=utf-8", "text/css; charset=utf-8"
_MEDIA_TYPES = {"swagger-ui-bundle.js": _SCRIPT, "docs.js": _SCRIPT, "swagger-ui.css": _STYLE}
#: Scripts, styles and requests of this server alone; Swagger UI draws its icons from data: URLs.
_CONTENT_SECURITY_POLICY = "; ".join((
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:", "connect-src 'self'",
    "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
))  # fmt: skip


class Documents:
    """The documents of one server, each made when it is first asked for.

    Args:
        describe: the OpenAPI document, as plain data.
        title: of the page.
        has_authorize: whether the page has a button to enter an API key.
        pool: for making and unpacking.
    """

    def __init__(
        self, describe: Callable[[], dict[str, Any]], *, title: str, has_authorize: bool, pool: WorkerPool
    ) -> None:
        self._describe = describe
        self._title = title
        self._has_authorize = has_authorize
        self._pool = pool
        self._document: dict[str, Any] | None = None
        self._made: dict[str, tuple[str, Representation]] = {}

    def endpoints(self) -> list[EndpointConfig]:
        """Their routes. No document mentions them."""
        handlers: dict[str, Callable[..., Any]] = {
            "/openapi.json": self.openapi,
            "/docs": self.page,
            "/docs/{asset}": self.asset,
        }
        said = {"methods": ["GET"], "is_open": True, "is_counted": False, "is_documented": False}
        return [EndpointConfig(path=path, handler=handler, **said) for path, handler in handlers.items()]

    async def openapi(self, raw_request: Request) -> Response:
        return await self._pool.run(self._answer, "openapi.json", self._make_openapi, raw_request)

    async def page(self, raw_request: Request) -> Response:
        return await self._pool.run(self._answer, "docs", self._make_page, raw_request)

    async def asset(self, asset: str, raw_request: Request) -> Response:
        if asset not in _MEDIA_TYPES:
            raise ApiError("unknown_url", f"Unknown request URL: GET {raw_request.path[:200]}.")
        return await self._pool.run(self._answer, asset, lambda _: _read_asset(asset), raw_request)

    def _answer(self, name: str, make: Callable[[str], Representation], request: Request) -> Response:
        """The answer from what is kept under `name`, which holds for one root path: that of the last request."""
        kept = self._made.get(name)
        if kept is None or kept[0] != request.root_path:
            kept = self._made[name] = (request.root_path, make(request.root_path))
        return kept[1].answer(request)

    def _make_openapi(self, root_path: str) -> Representation:
        if self._document is None:
            self._document = self._describe()
        document = self._document | ({"servers": [{"url": root_path}]} if root_path else {})
        return Representation(_pack(orjson.dumps(document)), "application/json")

    def _make_page(self, root_path: str) -> Representation:
        """The same under any root path: its links are relative."""
        import html  # late: its table of names takes 0.3 MB, and most servers are never asked for this page

        template = Template(_ASSETS.joinpath("docs.html").read_text())
        has_authorize = "true" if self._has_authorize else "false"
        page = template.substitute(title=html.escape(self._title), has_authorize=has_authorize)
        policy = {"content-security-policy": _CONTENT_SECURITY_POLICY}
        return Representation(_pack(page.encode()), "text/html; charset=utf-8", headers=policy)


def _read_asset(name: str) -> Representation:
    """A file of the package; what is large lies there compressed."""
    packed = _ASSETS.joinpath(f"{name}.gz")
    content = packed.read_bytes() if packed.is_file() else _pack(_ASSETS.joinpath(name).read_bytes())
    return Representation(content, _MEDIA_TYPES[name])


def _pack(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)
