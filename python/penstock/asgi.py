"""The ASGI application: `penstock serve` and `granian --interface asgi penstock.asgi:app` both run this.

Importing it builds nothing. The worker's start-up reads the settings, checks them, puts the parts together and returns;
the engine loads in its own thread while the server already answers.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from penstock import preflight
from penstock._core import Hub, Metrics
from penstock.config import Settings, load_settings, unknown_variables
from penstock.console import start_logging
from penstock.errors import ConfigError, ModelError
from penstock.serve import HANDED_ON
from penstock.server.lifecycle import Lifecycle, block_signals
from penstock.server.loading import follow_loading
from penstock.worker import OnlyWorker, is_worker, refuse_forked_engine

if TYPE_CHECKING:
    from penstock.adapters.base import TokenEngineAdapter
    from penstock.server.app import PenstockServer

logger = logging.getLogger("penstock.asgi")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

#: How long one thread may hold the interpreter while another wants it: the event loop and the engine share it.
_SWITCH_INTERVAL_S = 0.0005
#: What a worker that replaces a draining one waits for it beyond the drain's own limit.
_REPLACE_WAIT_S = 15.0

if is_worker():
    block_signals()  # before anything else here can start a thread


class Application:
    """The server of one worker, built when the worker starts."""

    def __init__(self) -> None:
        self._server: PenstockServer | None = None
        self._only_worker = OnlyWorker()

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        # No coroutine of its own around a request: the server's is handed out as it is.
        if self._server is None or scope["type"] == "lifespan":
            return self._lifespan(scope, receive, send)
        return self._server(scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            raise RuntimeError("Penstock is built at start-up: run it with --interface asgi, not asginl.")
        await receive()
        try:
            server, lifecycle = await self._start()
        except Exception as error:
            # An exception that escaped would make Granian go on without us, and without lifespan.
            self._only_worker.release()
            await send({"type": "lifespan.startup.failed", "message": _reason(error)})
            return
        self._server = server
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await server.shutdown()
        self._only_worker.release()
        await send({"type": "lifespan.shutdown.complete"})
        lifecycle.finish()

    async def _start(self) -> tuple[PenstockServer, Lifecycle]:
        """Checks, puts the parts together, and starts them. Returns while the engine loads."""
        from penstock.server.app import PenstockServer  # late: what it imports starts threads

        refuse_forked_engine()
        settings = _take_settings()
        console = start_logging(settings.log_level)
        if is_worker():
            self._only_worker.claim(wait_s=settings.drain_timeout_s + _REPLACE_WAIT_S)
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        inspected = preflight.inspect_model(settings)
        engine, metrics = _build_engine(settings, inspected)
        server = PenstockServer(settings, {inspected.name: engine}, metrics)
        lifecycle = Lifecycle(server, drain_timeout_s=settings.drain_timeout_s)
        lifecycle.install()
        await server.startup()
        follow_loading([engine], show=console.show_progress, stop=lifecycle.stop)
        return server, lifecycle


def _reason(error: Exception) -> str:
    """Why the server does not start, in one sentence."""
    if isinstance(error, ConfigError | ModelError):
        return str(error)
    logger.error("Start-up failed", exc_info=error)
    return "Penstock could not start; the log says why."


def _take_settings() -> Settings:
    """The settings `penstock serve` handed on, else those of `PENSTOCK_*`. Handed-on keys leave the environment."""
    handed = os.environ.pop(HANDED_ON, None)
    if handed is not None:
        return Settings.model_validate_json(handed)
    unknown = unknown_variables(os.environ)
    if unknown:
        logger.warning("No setting is named by %s", ", ".join(unknown))
    return load_settings({}, os.environ)


def _build_engine(settings: Settings, inspected: preflight.Inspected) -> tuple[TokenEngineAdapter, Metrics]:
    """The engine that `settings` name, not yet started, with a hub of its own."""
    checkpoint = inspected.checkpoint
    length = settings.max_model_len or (checkpoint.max_position_embeddings if checkpoint else None)
    metrics, name = Metrics(), inspected.name
    counters = metrics.model(name) if length is None else metrics.model(name, max_model_len=length)
    hub = Hub(inspected.prompt.vocabulary, counters, max_pending_bytes=settings.max_pending_bytes)
    if checkpoint is None:
        from penstock.adapters.echo import EchoEngine

        return EchoEngine(settings, inspected.prompt, hub, counters, name), metrics

    from penstock.adapters.jax_engine import JaxEngine

    return JaxEngine(settings, checkpoint, inspected.prompt, hub, counters, name), metrics


app = Application()
