"""Which connections are closed, with a naive list of connections in place of the system's."""

from typing import Any

import pytest

from penstock.http.open_peers import OpenPeers
from penstock.life import connection_sweep
from penstock.life.connection_sweep import ConnectionSweep
from penstock.life.own_sockets import Connection

PORT = 80


class Listed:
    """Connections by their client's port, since a moment."""

    def __init__(self, **since: float) -> None:
        self.since = {int(name[1:]): moment for name, moment in since.items()}
        self.unsent: set[int] = set()

    def connections(self) -> list[Connection]:
        return [Connection(port, port, PORT, ("10.0.0.1", port), since) for port, since in self.since.items()]

    def has_unsent(self, connection: Connection) -> bool:
        return connection.peer[1] in self.unsent


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


@pytest.fixture
def peers() -> OpenPeers:
    made = OpenPeers()
    made.watch()
    return made


def scope(port: int, address: str = "10.0.0.1") -> dict[str, Any]:
    return {"client": (address, str(port)), "server": ("10.0.0.9", str(PORT))}


def unused(sweep: ConnectionSweep, listed: Listed) -> list[int]:
    return [connection.peer[1] for connection in sweep._unused(listed)]  # type: ignore[arg-type]


def make_sweep(peers: OpenPeers) -> ConnectionSweep:
    return ConnectionSweep(peers, port=PORT, idle_timeout_s=75, head_timeout_s=30)


def test_a_new_connection_has_the_heads_time_and_a_used_one_the_idle_time(clock: list[float], peers: OpenPeers) -> None:
    sweep, listed = make_sweep(peers), Listed(p1=1000, p2=1000)
    peers.end(peers.begin(scope(2)))
    assert unused(sweep, listed) == []
    clock[0] = 1031
    assert unused(sweep, listed) == [1]
    clock[0] = 1076
    assert unused(sweep, listed) == [1, 2]


def test_a_connection_is_spared_until_its_last_request_has_ended(clock: list[float], peers: OpenPeers) -> None:
    sweep, listed = make_sweep(peers), Listed(p1=1000)
    one, other = peers.begin(scope(1)), peers.begin(scope(1))
    clock[0] = 5000
    peers.end(one)
    assert unused(sweep, listed) == []
    peers.end(other)
    assert unused(sweep, listed) == []
    clock[0] = 5076
    assert unused(sweep, listed) == [1]


def test_nothing_is_closed_where_requests_come_from_addresses_that_no_connection_has(
    clock: list[float], peers: OpenPeers
) -> None:
    sweep, listed = make_sweep(peers), Listed(p1=1000)
    rewritten = peers.begin(scope(0, "192.0.2.7"))
    clock[0] = 5000
    assert unused(sweep, listed) == []
    peers.end(rewritten)
    assert unused(sweep, listed) == [1]


def test_at_the_end_all_without_a_request_go_but_last_bytes_get_their_time(
    clock: list[float], peers: OpenPeers
) -> None:
    sweep, listed = make_sweep(peers), Listed(p1=1000, p2=1000, p3=1000, p4=1000)
    peers.begin(scope(1))
    for port in (2, 3):
        peers.end(peers.begin(scope(port)))
    listed.unsent = {3}
    sweep.close_all()
    assert unused(sweep, listed) == [4]
    clock[0] += connection_sweep._LAST_BYTES_S + 0.1
    assert unused(sweep, listed) == [2, 4]


def test_what_has_ended_is_forgotten_with_its_connection(peers: OpenPeers) -> None:
    sweep, listed = make_sweep(peers), Listed(p1=1000)
    for port in range(1, 1000):
        peers.end(peers.begin(scope(port)))
    unused(sweep, listed)
    assert list(peers.ended_at()) == [("10.0.0.1", "1")]
