"""The ASGI application: `penstock serve` and `granian --interface asgi penstock.asgi:app` both run this.

Importing it builds nothing. The worker's start-up reads the settings, checks them, puts the parts together and returns;
the engine loads in its own thread while the server already answers.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from penstock import preflight
from penstock._core import Hub, Metrics
from penstock.config import Settings, load_settings, unknown_variables
from penstock.http.types import Receive, Scope, Send
from penstock.life.lifecycle import block_signals
from penstock.life.lifespan import serve_lifespan
from penstock.life.only_worker import is_worker

if TYPE_CHECKING:
    from penstock.adapters.base import TokenEngineAdapter
    from penstock.server.app import PenstockServer

logger = logging.getLogger("penstock.asgi")

if is_worker():
    block_signals()  # before anything else here can start a thread


class Application:
    """The server of one worker, built when the worker starts.

    Args:
        handed_on: the settings that `penstock serve` has checked, as JSON; default: those of `PENSTOCK_*`.
    """

    def __init__(self, handed_on: str | None = None) -> None:
        self._handed_on = handed_on
        self._server: PenstockServer | None = None

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        # No coroutine of its own around a request: the server's is handed out as it is.
        if scope["type"] == "lifespan":
            return serve_lifespan(receive, send, read_settings=self._read_settings, build=self._build)
        if self._server is None:
            raise RuntimeError("Penstock is built at start-up: run it with --interface asgi, not asginl.")
        return self._server(scope, receive, send)

    def _read_settings(self) -> Settings:
        if self._handed_on is not None:
            return Settings.from_json(self._handed_on)
        if unknown := unknown_variables(os.environ):
            logger.warning("No setting is named by %s", ", ".join(unknown))
        return load_settings({}, os.environ)

    async def _build(self, settings: Settings) -> PenstockServer:
        """Checks the model again and puts the parts together. The engine is not started yet."""
        inspected = await asyncio.to_thread(preflight.inspect_model, settings)
        self._server = await asyncio.to_thread(_assemble, settings, inspected)
        return self._server


def _assemble(settings: Settings, inspected: preflight.Inspected) -> PenstockServer:
    """The server of the one engine that `settings` name. Blocks: imports take their time."""
    from penstock.server.app import PenstockServer  # late: what it imports starts threads

    engine, metrics = _build_engine(settings, inspected)
    return PenstockServer(settings, {inspected.name: engine}, metrics)


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
