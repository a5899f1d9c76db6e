"""The TCP connections of this process, whoever holds them: the host's are in Rust. Linux only, by way of /proc."""

from __future__ import annotations

import fcntl
import ipaddress
import os
import resource
import socket
import struct
import sys
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

#: Of these many descriptors at a stretch, then others get the interpreter.
_STRETCH = 64
_PAUSE_S = 0.001

T = TypeVar("T")

IS_SUPPORTED = sys.platform == "linux"


@dataclass(frozen=True, slots=True)
class Connection:
    """One connection, for as long as it is open.

    Attributes:
        descriptor: of the socket; inode: which tells it from a later socket of the same descriptor.
        port: our side's.
        peer: the other side's address, without a scope, and port.
        since: when it was first seen, on the monotonic clock.
    """

    descriptor: int
    inode: int
    port: int
    peer: tuple[str, int]
    since: float


class OwnSockets:
    """Lists the connections of this process, and ends single ones.

    A socket is looked at through a duplicate, which stays the same socket even if its owner closes it meanwhile. The
    duplicate goes into one descriptor kept for it, so that this works where no more files can be opened.
    """

    def __init__(self) -> None:
        self._nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._borrowed = os.dup(self._nothing)
        #: By descriptor and link text; None: a socket that is no connection.
        self._known: dict[tuple[int, str], Connection | None] = {}

    def connections(self) -> list[Connection]:
        """All that are open now. Takes its time at thousands, in small bites."""
        seen = {}
        for number, descriptor in enumerate(_descriptors()):
            if number % _STRETCH == _STRETCH - 1:
                time.sleep(_PAUSE_S)
            try:
                link = os.readlink(f"/proc/self/fd/{descriptor}")
            except OSError:
                continue
            if link.startswith("socket:["):
                key = (descriptor, link)
                seen[key] = self._known[key] if key in self._known else self._look_at(*key)
        self._known = seen
        return [connection for connection in seen.values() if connection is not None]

    def shut(self, connection: Connection) -> None:
        """Ends `connection` both ways; its owner reads its end and closes it. What is on its way is still sent."""
        self._ask(connection.descriptor, connection.inode, lambda borrowed: borrowed.shutdown(socket.SHUT_RDWR))

    def has_unsent(self, connection: Connection) -> bool:
        """Whether the other side has yet to acknowledge bytes."""
        return bool(self._ask(connection.descriptor, connection.inode, _num_unsent))

    def _look_at(self, descriptor: int, link: str) -> Connection | None:
        inode = int(link[len("socket:[") : -1])
        ends = self._ask(descriptor, inode, _ends)
        return None if ends is None else Connection(descriptor, inode, *ends, since=time.monotonic())

    def _ask(self, descriptor: int, inode: int, question: Callable[[socket.socket], T]) -> T | None:
        """The answer of the socket behind `descriptor`; None if that is no longer the one with `inode`, or fails."""
        try:
            os.dup2(descriptor, self._borrowed, inheritable=False)
            if os.fstat(self._borrowed).st_ino != inode:
                return None
            borrowed = socket.socket(fileno=self._borrowed)
            try:
                return question(borrowed)
            finally:
                borrowed.detach()
        except OSError:
            return None
        finally:
            os.dup2(self._nothing, self._borrowed, inheritable=False)


def _ends(borrowed: socket.socket) -> tuple[int, tuple[str, int]] | None:
    """Our port and the peer; None for what is no TCP connection. Raises OSError where nobody is at the other end."""
    if borrowed.family not in (socket.AF_INET, socket.AF_INET6) or borrowed.type != socket.SOCK_STREAM:
        return None
    address, port = borrowed.getpeername()[:2]
    return borrowed.getsockname()[1], (canonical(address), port)


def _num_unsent(borrowed: socket.socket) -> int:
    """Bytes that the other side has not acknowledged."""
    (num_bytes,) = struct.unpack("i", fcntl.ioctl(borrowed, termios.TIOCOUTQ, b"\0\0\0\0"))
    return int(num_bytes)


@lru_cache(maxsize=4096)
def canonical(address: str) -> str:
    """One spelling for an address, whoever wrote it: no scope, and IPv4 as such where IPv6 carries it."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)


def _descriptors() -> list[int]:
    """The open ones; the numbers there may be, when none is left to list them with."""
    try:
        return [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        return list(range(resource.getrlimit(resource.RLIMIT_NOFILE)[0]))
