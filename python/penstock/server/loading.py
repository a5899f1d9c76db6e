"""Follows engines while they load: shows progress, and stops a server whose engine cannot be loaded."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from penstock.adapters.base import TokenEngineAdapter
from penstock.generation import EngineState

logger = logging.getLogger("penstock.loading")

_POLL_S = 0.1
#: How long /ready still tells why before the server stops: time for a probe or two.
_LAST_WORDS_S = 3.0


async def follow_loading(
    engines: Sequence[TokenEngineAdapter], *, show: Callable[[str], None], stop: Callable[[], None]
) -> None:
    """Returns when every engine is ready; when one has failed, logs why and calls `stop()` a little later.

    Args:
        engines: engines that were started.
        show: takes a line of progress, or "" to clear it.
        stop: stops the server.
    """
    while any(engine.status().state is EngineState.LOADING for engine in engines):
        show("; ".join(engine.status().detail for engine in engines if engine.status().detail))
        await asyncio.sleep(_POLL_S)
    show("")
    failed = [engine for engine in engines if engine.status().state is EngineState.ERROR]
    if failed:
        for engine in failed:
            logger.error("Cannot serve %s: %s", engine.model_name, engine.status().detail)
        await asyncio.sleep(_LAST_WORDS_S)
        stop()
