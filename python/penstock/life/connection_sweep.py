"""Closes connections that nobody uses: silent ones, half-sent heads, and at the end of a life all without a request.

The host has a time limit for the heads of HTTP/1 only. Connections with an open request are always spared; what limits
those is the request's own deadline.
"""

from __future__ import annotations

import logging
import threading
import time

from penstock.http.open_peers import OpenPeers, Peer
from penstock.life.own_sockets import IS_SUPPORTED, Connection, OwnSockets, canonical

logger = logging.getLogger("penstock.connections")

_MAX_INTERVAL_S = 5.0
#: At the end of a life: how often, and how long after its last request a connection may still be sending.
_LAST_INTERVAL_S = 0.1
_LAST_BYTES_S = 1.0


class ConnectionSweep:
    """A thread that looks at this process's connections every now and then.

    It knows which have a request open by their client's address. Where a middleware rewrites addresses, an open request
    belongs to no connection; then nothing is closed.

    Args:
        peers: told of every request.
        port: where connections come in; ports on which requests have come are added.
        idle_timeout_s: how long a connection may stay without a request after its last one.
        head_timeout_s: how long a new connection may take to send the first one's head.
    """

    def __init__(self, peers: OpenPeers, *, port: int, idle_timeout_s: float, head_timeout_s: float) -> None:
        self._peers = peers
        self._port = port
        self._idle_timeout_s = idle_timeout_s
        self._head_timeout_s = head_timeout_s
        self._is_last = threading.Event()

    def start(self) -> None:
        """Starts the thread, which ends with the process."""
        if not IS_SUPPORTED:
            logger.warning("Idle connections are not closed on this system")
            return
        self._peers.watch()
        threading.Thread(target=self._run, name="penstock-connections", daemon=True).start()

    def close_all(self) -> None:
        """From now on closes every connection without an open request, so that the host need not wait for it."""
        self._is_last.set()

    def _run(self) -> None:
        sockets = OwnSockets()
        interval_s = min(_MAX_INTERVAL_S, self._idle_timeout_s / 4, self._head_timeout_s / 4)
        while True:
            if self._is_last.wait(interval_s):
                time.sleep(_LAST_INTERVAL_S)
            try:
                for connection in self._unused(sockets):
                    sockets.shut(connection)
            except Exception:
                logger.exception("Looking for idle connections failed")

    def _unused(self, sockets: OwnSockets) -> list[Connection]:
        """The connections to close now."""
        before = self._peers.open_now()
        ports = self._peers.ports() | {self._port}
        connections = [connection for connection in sockets.connections() if connection.port in ports]
        still_open = {_canonical(peer) for peer in before & self._peers.open_now()}
        ended_at = self._peers.ended_at()
        connected = {connection.peer for connection in connections}
        self._peers.forget({peer for peer in ended_at if _canonical(peer) not in connected})
        if not still_open <= connected:
            return []  # these connections are not the ones that requests are told to come from
        ended = {_canonical(peer): when for peer, when in ended_at.items()}
        open_now = {_canonical(peer) for peer in self._peers.open_now()} | {_canonical(peer) for peer in before}
        return [
            connection
            for connection in connections
            if connection.peer not in open_now and self._is_over(sockets, connection, ended.get(connection.peer))
        ]

    def _is_over(self, sockets: OwnSockets, connection: Connection, ended_at: float | None) -> bool:
        """Whether a connection without an open request has had its time."""
        silent_s = time.monotonic() - max(connection.since, ended_at or 0.0)
        if not self._is_last.is_set():
            return silent_s > (self._head_timeout_s if ended_at is None else self._idle_timeout_s)
        if ended_at is None:
            return True
        return silent_s > _LAST_BYTES_S and not sockets.has_unsent(connection)


def _canonical(peer: Peer) -> Peer:
    return None if peer is None else (canonical(peer[0]), int(peer[1]))
