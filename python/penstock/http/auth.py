"""Who may ask. Keys are held as digests and compared in constant time; they come from headers only."""

from __future__ import annotations

from collections.abc import Iterable

from penstock import _core
from penstock.config import ApiKey, number_keys
from penstock.errors import ApiError
from penstock.http.request import Request


class KeyRing:
    """The accepted API keys, as they are or as the settings keep them. None: everybody may ask."""

    def __init__(self, keys: Iterable[str | ApiKey]) -> None:
        self._id_by_digest = {bytes.fromhex(key.digest): key.id for key in number_keys(keys)}
        self._digests = list(self._id_by_digest)

    @property
    def is_empty(self) -> bool:
        return not self._digests

    def admit(self, request: Request, *, is_open: bool) -> None:
        """Notes on the request whose it is. Raises ApiError "invalid_api_key", unless `is_open`."""
        key = request.head.api_key
        if not self._digests:
            request.is_authorized = True
        elif key is not None and _core.keys_equal(key, self._digests):
            request.is_authorized = True
            request.api_key_id = self._id_by_digest[_core.key_digest(key)]
        elif not is_open:
            given = "The API key is not valid." if key is not None else "No API key was given."
            raise ApiError("invalid_api_key", f"{given} Send it as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'.")
