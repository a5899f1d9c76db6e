"""A file as it is sent: compressed for clients that take it, and not sent again to those that have it."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping

from penstock.http.request import Request
from penstock.http.response import Response

#: Kept by clients, but asked about each time: the answer to that is a 304 of no size.
_ALWAYS = {"cache-control": "no-cache", "x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}


class Representation:
    """Bytes of one media type, ready to send.

    Args:
        compressed: the content, in gzip.
        headers: beside those of every document.
    """

    def __init__(self, compressed: bytes, media_type: str, *, headers: Mapping[str, str] | None = None) -> None:
        self._compressed = compressed
        self._media_type = media_type
        self._headers = {**_ALWAYS, "vary": "accept-encoding", **(headers or {})}
        self._tag = hashlib.sha256(compressed).hexdigest()[:32]

    def answer(self, request: Request) -> Response:
        """200 with the content, or 304 (RFC 9110, 13.1.2). Blocks for some milliseconds if gzip is not taken."""
        is_gzip = _takes_gzip(request.headers.get("accept-encoding", ""))
        etag = f'"{self._tag}-gz"' if is_gzip else f'"{self._tag}"'
        headers = self._headers | {"etag": etag}
        if _matches(request.headers.get("if-none-match", ""), etag):
            return Response(b"", 304, headers=headers, media_type=self._media_type)
        if is_gzip:
            headers["content-encoding"] = "gzip"
        content = self._compressed if is_gzip else gzip.decompress(self._compressed)
        return Response(content, headers=headers, media_type=self._media_type)


def _matches(if_none_match: str, etag: str) -> bool:
    """Weakly compared, as the field is."""
    return any(each.strip().removeprefix("W/") in (etag, "*") for each in if_none_match.split(","))


def _takes_gzip(accept_encoding: str) -> bool:
    """Whether gzip is named and not refused (RFC 9110, 12.5.3)."""
    for each in accept_encoding.lower().split(","):
        coding, _, weight = each.replace(" ", "").partition(";q=")
        if coding == "gzip":
            return weight.strip("0.") != "" or not weight
    return False
