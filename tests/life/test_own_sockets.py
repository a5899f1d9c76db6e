"""The process's own connections; the judge is the sockets that the test itself holds."""

import contextlib
import os
import resource
import socket
from collections.abc import Iterator

import pytest

from penstock.life.own_sockets import IS_SUPPORTED, OwnSockets, canonical

pytestmark = pytest.mark.skipif(not IS_SUPPORTED, reason="reads /proc")


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A client and the server's side of its connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
        with client, accepted:
            yield client, accepted


def test_a_connection_is_found_by_its_port_and_peer_and_can_be_ended(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    client, accepted = pair
    sockets = OwnSockets()
    (found,) = [c for c in sockets.connections() if c.port == accepted.getsockname()[1]]
    assert found.peer == client.getsockname()
    assert (found.descriptor, found.inode) == (accepted.fileno(), os.fstat(accepted.fileno()).st_ino)
    assert [c for c in sockets.connections() if c == found], "it is known from then on"
    sockets.shut(found)
    client.settimeout(5)
    assert client.recv(1) == b""


def test_a_descriptor_that_is_another_socket_by_now_is_left_alone(pair: tuple[socket.socket, socket.socket]) -> None:
    client, accepted = pair
    sockets = OwnSockets()
    (found,) = [c for c in sockets.connections() if c.descriptor == accepted.fileno()]
    os.dup2(client.fileno(), accepted.fileno())
    sockets.shut(found)
    assert client.send(b"x") == 1, "the other socket is whole"


def test_bytes_that_nobody_takes_are_seen(pair: tuple[socket.socket, socket.socket]) -> None:
    _, accepted = pair
    sockets = OwnSockets()
    (found,) = [c for c in sockets.connections() if c.descriptor == accepted.fileno()]
    assert not sockets.has_unsent(found)
    accepted.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            accepted.send(b"x" * 65536)
    assert sockets.has_unsent(found)


def test_no_descriptor_need_be_free(pair: tuple[socket.socket, socket.socket]) -> None:
    _, accepted = pair
    sockets = OwnSockets()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (sockets._borrowed + 1, before[1]))
    taken = []
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        found = [c for c in sockets.connections() if c.descriptor == accepted.fileno()]
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert len(found) == 1


def test_own_sockets_leave_nothing_open(pair: tuple[socket.socket, socket.socket]) -> None:
    sockets = OwnSockets()
    sockets.connections()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        for connection in sockets.connections():
            sockets.has_unsent(connection)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("address", "spelled"),
    [("127.0.0.1", "127.0.0.1"), ("::ffff:10.0.0.1", "10.0.0.1"), ("fe80::1%eth0", "fe80::1"), ("?", "?")],
)
def test_one_address_has_one_spelling(address: str, spelled: str) -> None:
    assert canonical(address) == spelled
