"""Runs the server under Granian: one supervisor, one worker.

The supervisor is a process of its own that knows a host, a port and a log level. It imports neither JAX nor pydantic
nor tokenizers, and starts no thread before it has forked its worker, which runs `penstock.asgi:app`.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from penstock.config import Settings

HANDED_ON = "PENSTOCK_SETTINGS"

#: Connections that wait in the kernel, and connections served at once. Refusing work is admission's job, which answers
#: 503 with a reason; the host would just leave a connection unread.
_BACKLOG = 2048
_MAX_CONNECTIONS = 8192
_MAX_OPEN_FILES = 65536


def replace_process(settings: Settings) -> NoReturn:
    """Becomes the supervisor of a server with `settings`. Drops everything that checking them has imported.

    What `ps` shows says what is served, and no key.
    """
    model = [] if settings.model is None else [str(settings.model)]
    shown = ["serve", *model, "--engine", settings.engine, "--host", settings.host, "--port", str(settings.port)]
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(
        sys.executable,
        [sys.executable, "-P", "-m", "penstock", *shown],
        os.environ | {HANDED_ON: settings.to_json()},
    )


def supervise(environ: Mapping[str, str]) -> NoReturn:
    """Runs the server whose settings stand in `environ`, until it is stopped; never returns."""
    settings = json.loads(environ[HANDED_ON])
    _raise_file_limit()
    run("penstock.asgi:app", host=settings["host"], port=settings["port"], log_level=settings["log_level"])
    sys.exit(0)


def run(
    target: str | Callable[..., Any],
    *,
    host: str,
    port: int,
    workers: int = 1,
    log_level: str = "info",
    ssl_keyfile: str | Path | None = None,
    ssl_certfile: str | Path | None = None,
    reload: bool = False,
) -> None:
    """Serves an ASGI application until SIGTERM or SIGINT.

    Args:
        target: "module:attribute", or the application itself, which then must hold neither threads nor JAX yet.
        host: a name or an address of this machine.
        port: to bind.
        workers: processes; `reload` forces one.
        log_level: Granian's own log shows warnings and errors, at "debug" everything.
        ssl_keyfile, ssl_certfile: TLS is on when both are given.
        reload: restart the worker when a source file changes.

    Raises:
        SystemExit: with code 1 when the worker could not start or ended by itself.
    """
    from granian.constants import HTTPModes, Interfaces
    from granian.log import LogLevels
    from granian.server import Server

    has_tls = ssl_keyfile is not None and ssl_certfile is not None
    server = Server(
        target if isinstance(target, str) else "penstock",
        address=resolve(host),
        port=port,
        interface=Interfaces.ASGI,
        workers=1 if reload else workers,
        loop=_loop(),
        http=HTTPModes.auto,
        websockets=False,
        backlog=_BACKLOG,
        backpressure=_MAX_CONNECTIONS,
        log_level=LogLevels.debug if log_level == "debug" else LogLevels.warning,
        log_dictconfig=_log_config(),
        ssl_key=Path(ssl_keyfile) if has_tls and ssl_keyfile else None,
        ssl_cert=Path(ssl_certfile) if has_tls and ssl_certfile else None,
        reload=reload,
    )
    server.on_startup(_SignalRelay(server).install)
    if isinstance(target, str):
        server.serve()
    else:
        server.serve(target_loader=partial(_load, target), wrap_loader=False)


def _load(target: Callable[..., Any]) -> Callable[..., Any]:
    """In the worker: an application that was made before it."""
    from penstock.server.lifecycle import block_signals

    block_signals()
    return target


def resolve(host: str) -> str:
    """The numeric address of `host`, IPv4 before IPv6.

    Raises:
        ConfigError: it has none.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        from penstock.errors import ConfigError

        raise ConfigError(f"--host {host} should be an address of this machine: the name is not known.") from None
    return str(min(found, key=lambda entry: entry[0] != socket.AF_INET)[4][0])


class _SignalRelay:
    """Granian's handlers in the supervisor, with two gaps closed.

    Granian signals its workers once: a later signal goes on to them here, so that a second one cuts the drain short.
    And a fork inherits the supervisor's handlers, which in a worker swallow a signal until it has its own.
    """

    def __init__(self, server: Any) -> None:
        self._server = server
        self._pid = os.getpid()
        self._is_stopping = False

    def install(self) -> None:
        """Takes the stop signals over. Granian calls its startup hooks just before it forks."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:
            os._exit(128 + number)
        if not self._is_stopping:
            self._is_stopping = True
            self._server.signal_handler_interrupt(number, frame)
        elif number != signal.SIGHUP:
            for worker in list(self._server.wrks):
                worker.terminate()


def _loop() -> Any:
    from granian._loops import loops
    from granian.constants import Loops

    if "uvloop" in loops:
        return Loops.uvloop
    logging.getLogger("penstock.serve").warning("uvloop is not installed: using asyncio's own loop")
    return Loops.asyncio


def _log_config() -> dict[str, Any]:
    """Granian's log in the shape of ours, on stderr."""
    return {
        "formatters": {
            "generic": {"format": "%(asctime)s %(levelname)-7s granian: %(message)s", "datefmt": "%H:%M:%S"},
        },
        "handlers": {
            "console": {"formatter": "generic", "class": "logging.StreamHandler", "stream": "ext://sys.stderr"},
        },
        "loggers": {"_granian": {"handlers": ["console"], "level": "WARNING", "propagate": False}},
    }


def _raise_file_limit() -> None:
    """Every connection is a file: lets the worker have as many as the system allows without privilege."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
