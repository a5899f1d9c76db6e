"""The claim to an address and port of this machine, held for as long as the server lives.

The host binds with SO_REUSEPORT, so the kernel lets two servers share a port, half of the traffic each; one bind to
try is no claim, as two that start together both pass it. A lock under the address and port is.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
import tempfile
from pathlib import Path

from penstock.errors import ConfigError


class PortClaim:
    """A port that is ours: no other server on this machine can claim it until `release`, or until we are gone.

    Child processes inherit it, through execve too, so that it outlives a supervisor whose worker still drains.

    Raises:
        ConfigError: somebody serves there already, or the address is not ours to bind.
    """

    def __init__(self, host: str, port: int) -> None:
        self.address = resolve(host)
        self._lock = -1
        try:
            self._lock = _lock(self.address, port)
            _try_to_bind(self.address, port)
        except OSError as error:
            self.release()
            raise ConfigError(f"Cannot bind {host}:{port}: {error.strerror}.") from None

    def release(self) -> None:
        """Gives the port up. Idempotent."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def resolve(host: str) -> str:
    """The numeric address of `host`, IPv4 before IPv6.

    Raises:
        ConfigError: it has none.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        raise ConfigError(f"--host {host} should be an address of this machine: the name is not known.") from None
    return str(min(found, key=lambda entry: entry[0] != socket.AF_INET)[4][0])


def _lock(address: str, port: int) -> int:
    """An inheritable file descriptor that holds the lock. Raises OSError when another process has it."""
    if sys.platform == "linux":
        # An abstract socket belongs to the network namespace, as the port does, and leaves no file behind.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as holder:
            holder.bind(f"\0penstock-port-{address}-{port}")
            file = os.dup(holder.fileno())
    else:
        path = Path(tempfile.gettempdir()) / f"penstock-{os.getuid()}-port-{address.replace(':', '_')}-{port}.lock"
        file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            raise
    os.set_inheritable(file, True)
    return file


def _try_to_bind(address: str, port: int) -> None:
    """Binds once and lets go: servers that know nothing of the lock hold ports too."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((address, port))
        probe.listen(1)
