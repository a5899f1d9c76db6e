"""ASGI's lifespan: the start and the end of a worker.

The same for `penstock serve`, `granian penstock.asgi:app` and a server of one's own. Nothing here blocks the event
loop, so a signal is heard from the first moment on.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from typing import Protocol

from penstock.config import Settings
from penstock.console import start_logging
from penstock.errors import ConfigError, ModelError
from penstock.http.open_peers import OpenPeers
from penstock.http.types import Receive, Send
from penstock.life.connection_sweep import ConnectionSweep
from penstock.life.lifecycle import Drainable, Lifecycle
from penstock.life.loading import Statuses, follow_loading
from penstock.life.only_worker import OnlyWorker, is_worker, refuse_forked_engine
from penstock.life.open_files import raise_file_limit

logger = logging.getLogger("penstock.lifespan")

#: How long one thread may hold the interpreter while another wants it: the event loop and the engine share it.
_SWITCH_INTERVAL_S = 0.0005
#: What a worker that replaces a draining one waits for it beyond the drain's own limit.
_REPLACE_WAIT_S = 15.0


class LifespanServer(Drainable, Protocol):
    """What is started and stopped: a server."""

    open_peers: OpenPeers

    async def startup(self) -> None:
        """Returns at once; engines load in threads of their own."""

    async def shutdown(self) -> None: ...

    def engine_statuses(self) -> Statuses: ...


async def serve_lifespan(
    receive: Receive,
    send: Send,
    *,
    read_settings: Callable[[], Settings],
    build: Callable[[Settings], Awaitable[LifespanServer]],
) -> None:
    """Builds a server and starts it, waits until the host stops, and stops it.

    A start that fails is told to the host in one sentence. A shutdown that fails is logged and ends the process with
    exit code 1.

    Args:
        read_settings: may raise ConfigError.
        build: puts the server together; may raise ConfigError and ModelError.
    """
    await receive()
    only_worker, lifecycle = OnlyWorker(), Lifecycle()
    try:
        server = await _start(only_worker, lifecycle, read_settings, build)
    except Exception as error:
        # An exception that escaped would make Granian go on without us, and without lifespan.
        only_worker.release()
        await send({"type": "lifespan.startup.failed", "message": _reason(error)})
        return
    await send({"type": "lifespan.startup.complete"})
    await receive()
    has_failed = await _stop(server)
    only_worker.release()
    await send({"type": "lifespan.shutdown.failed" if has_failed else "lifespan.shutdown.complete"})
    lifecycle.finish(exit_code=int(has_failed))


async def _start(
    only_worker: OnlyWorker,
    lifecycle: Lifecycle,
    read_settings: Callable[[], Settings],
    build: Callable[[Settings], Awaitable[LifespanServer]],
) -> LifespanServer:
    refuse_forked_engine()
    show: Callable[[str], None] = _no_progress
    if is_worker():  # else the process is somebody's own, with signals, a log and settings of its own
        lifecycle.install()
    settings = read_settings()
    if is_worker():
        show = _start_logging(settings.log_level)
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        await asyncio.to_thread(only_worker.claim, wait_s=settings.drain_timeout_s + _REPLACE_WAIT_S)
    server = await build(settings)
    await server.startup()
    sweep = ConnectionSweep(
        server.open_peers,
        port=settings.port,
        idle_timeout_s=settings.idle_timeout_s,
        head_timeout_s=settings.head_timeout_s,
    )
    if is_worker():
        raise_file_limit()
        sweep.start()
    lifecycle.watch_over(server, close_connections=sweep.close_all)
    follow_loading(server.engine_statuses(), show=show, stop=lifecycle.stop)
    return server


async def _stop(server: LifespanServer) -> bool:
    """Whether the server's own shutdown failed, which ends nothing else."""
    try:
        await server.shutdown()
    except Exception:
        logger.exception("The shutdown failed")
        return True
    return False


def _start_logging(level: str) -> Callable[[str], None]:
    """Penstock's log, unless the server's author has set up one. Returns what shows a line of progress."""
    if logging.getLogger().handlers:
        logging.getLogger("penstock").setLevel(level.upper())
        return _no_progress
    return start_logging(level).show_progress


def _no_progress(text: str) -> None:
    pass


def _reason(error: Exception) -> str:
    """Why the server does not start, in one sentence."""
    if isinstance(error, ConfigError | ModelError):
        return str(error)
    logger.error("Start-up failed", exc_info=error)
    return "The server could not start; the log says why."
