"""Follows engines while they load: shows progress, and stops a server whose engine cannot be loaded."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Sequence

from penstock.adapters.base import TokenEngineAdapter
from penstock.generation import EngineState

logger = logging.getLogger("penstock.loading")

_POLL_S = 0.1
#: How long /ready still tells why before the server stops: time for a probe or two.
_LAST_WORDS_S = 3.0
#: Objects that may be made before the youngest are looked through: some hundred requests' worth.
_GC_YOUNG_OBJECTS = 10_000

#: The loop itself holds tasks only weakly.
_tasks: set[asyncio.Task[None]] = set()


def follow_loading(
    engines: Sequence[TokenEngineAdapter], *, show: Callable[[str], None], stop: Callable[[], None]
) -> asyncio.Task[None]:
    """Starts a task that ends when every engine is ready; when one has failed, it logs why and soon calls `stop()`.

    Args:
        engines: engines that were started.
        show: takes a line of progress, or "" to clear it.
        stop: stops the server.
    """
    task = asyncio.create_task(_follow(engines, show, stop))
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return task


async def _follow(engines: Sequence[TokenEngineAdapter], show: Callable[[str], None], stop: Callable[[], None]) -> None:
    start = time.monotonic()
    while any(engine.status().state is EngineState.LOADING for engine in engines):
        show("; ".join(engine.status().detail for engine in engines if engine.status().detail))
        await asyncio.sleep(_POLL_S)
    show("")
    failed = [engine for engine in engines if engine.status().state is EngineState.ERROR]
    for engine in engines:
        if engine.status().state is EngineState.READY:
            logger.info("Ready: serving %s after %.1f s", engine.model_name, time.monotonic() - start)
    spare_collections()
    for engine in failed:
        logger.error("Cannot serve %s: %s", engine.model_name, engine.status().detail)
    if failed:
        await asyncio.sleep(_LAST_WORDS_S)
        stop()


def spare_collections() -> None:
    """Has the garbage collector leave alone what is there now: modules, programs, weights.

    A full collection walks all of it under the GIL, and no stream gets a token meanwhile: 17 ms with the echo engine,
    67 to 108 ms with JAX. From now on it walks only what requests make, which is next to nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_YOUNG_OBJECTS, *gc.get_threshold()[1:])
