"""A bound on the bodies of all requests together."""

from __future__ import annotations

from penstock.errors import ApiError


class BodyBudget:
    """Counts the bytes of bodies that are being read or are still held. On the loop only.

    Attributes:
        num_bytes: held now.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.num_bytes = 0

    def check(self, num_bytes: int) -> None:
        """Raises ApiError "server_overloaded" where so many more do not fit."""
        if self.num_bytes + num_bytes > self._max_bytes:
            raise self._refusal()

    def hold(self, num_bytes: int) -> None:
        """Raises ApiError "server_overloaded", and then holds nothing."""
        if self.num_bytes + num_bytes > self._max_bytes:
            raise self._refusal()
        self.num_bytes += num_bytes

    def release(self, num_bytes: int) -> None:
        """Gives back what `hold` took."""
        self.num_bytes -= num_bytes

    def _refusal(self) -> ApiError:
        problem = f"The server is busy: the bodies of its requests take {self.num_bytes} bytes already."
        return ApiError("server_overloaded", problem)
