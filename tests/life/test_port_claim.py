"""The claim to a port. Claims of two owners conflict in one process as they do in two."""

import socket
import subprocess
import sys

import pytest

from penstock.errors import ConfigError
from penstock.life.port_claim import PortClaim


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def test_a_port_is_claimed_once_and_again_after_its_release() -> None:
    port = free_port()
    claim = PortClaim("localhost", port)
    with pytest.raises(ConfigError, match=f"Cannot bind 127.0.0.1:{port}: Address already in use"):
        PortClaim("127.0.0.1", port)
    PortClaim("127.0.0.1", free_port()).release()
    claim.release()
    claim.release()
    PortClaim("127.0.0.1", port).release()


def test_a_refused_claim_holds_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match="in use"):
            PortClaim("127.0.0.1", port)
    PortClaim("127.0.0.1", port).release()


def test_a_claim_is_free_for_the_host_to_bind_and_goes_on_through_exec() -> None:
    port = free_port()
    code = f"""if True:
        import os, sys
        from penstock.life.port_claim import PortClaim
        claim = PortClaim("127.0.0.1", {port})
        os.execv(sys.executable, [sys.executable, "-c", "print('on', flush=True); input()"])"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"on\n"
        with pytest.raises(ConfigError, match="in use"):
            PortClaim("127.0.0.1", port)
        with socket.create_server(("127.0.0.1", port)):
            pass
        holder.communicate(b"\n", timeout=10)
    PortClaim("127.0.0.1", port).release()
