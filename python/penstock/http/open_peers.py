"""Which clients have a request open: what tells a busy connection from one that is just there."""

from __future__ import annotations

import time

from penstock.http.types import Scope

#: A client's address and port, as ASGI's `client` has it; None where the host does not tell. Granian's ports are text.
Peer = tuple[str, int | str] | None


class OpenPeers:
    """Counts open requests by the connection they came on. Written on the loop, read in another thread.

    A connection of HTTP/2 may have several. What has ended is kept until `forget`, so nothing is kept before `watch`.
    """

    def __init__(self) -> None:
        self._num_open: dict[Peer, int] = {}
        self._ended_at: dict[Peer, float] = {}
        self._ports: set[int | str] = set()
        self._is_watched = False

    def watch(self) -> None:
        """From now on somebody reads, and forgets."""
        self._is_watched = True

    def begin(self, scope: Scope) -> Peer:
        """A request has come. Returns what `end` wants."""
        client, server = scope.get("client"), scope.get("server")
        peer: Peer = None if client is None else (client[0], client[1])
        self._num_open[peer] = self._num_open.get(peer, 0) + 1
        if server is not None:
            self._ports.add(server[1])
        return peer

    def end(self, peer: Peer) -> None:
        """It has been answered, or given up."""
        num_open = self._num_open[peer] - 1
        if num_open:
            self._num_open[peer] = num_open
            return
        if self._is_watched:
            self._ended_at[peer] = time.monotonic()
        del self._num_open[peer]

    def open_now(self) -> set[Peer]:
        return set(self._num_open.copy())

    def ended_at(self) -> dict[Peer, float]:
        """When the last request of a connection without an open one ended, on the monotonic clock."""
        return self._ended_at.copy()

    def ports(self) -> set[int]:
        """On which requests have come."""
        return {int(port) for port in self._ports.copy()}

    def forget(self, peers: set[Peer]) -> None:
        """Their connections are closed."""
        for peer in peers:
            self._ended_at.pop(peer, None)
