"""ASGI's lifespan: a server's start and end, as the host asks for them."""

from __future__ import annotations

import logging
import multiprocessing
from typing import Protocol

from penstock.http.types import Receive, Send
from penstock.server.lifecycle import Drainable, Lifecycle

logger = logging.getLogger("penstock.server")


class Startable(Drainable, Protocol):
    """What is started and stopped: a server."""

    async def startup(self) -> None: ...

    async def shutdown(self) -> None: ...


async def serve_lifespan(server: Startable, receive: Receive, send: Send) -> None:
    """Starts the server, waits for the host to stop, and stops it. A failed start is told in the host's log."""
    await receive()
    lifecycle = Lifecycle(server)
    try:
        if multiprocessing.parent_process() is not None:  # a worker: its signals are its own
            lifecycle.install()
        await server.startup()
    except Exception as error:
        logger.exception("Start-up failed")
        await send({"type": "lifespan.startup.failed", "message": f"The server could not start: {error}"})
        return
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await server.shutdown()
    await send({"type": "lifespan.shutdown.complete"})
    lifecycle.finish()
