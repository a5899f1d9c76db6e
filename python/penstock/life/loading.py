"""Follows engines while they load: shows progress, and stops a server whose engine cannot be loaded."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

from penstock.generation import EngineState, EngineStatus
from penstock.life.garbage import give_back_memory, spare_collections

logger = logging.getLogger("penstock.loading")

_POLL_S = 0.1
#: How long /ready still tells why before the server stops: time for a probe or two.
_LAST_WORDS_S = 3.0

#: The loop itself holds tasks only weakly.
_tasks: set[asyncio.Task[None]] = set()

#: Where each engine stands, by the name of its model.
Statuses = Mapping[str, Callable[[], EngineStatus]]


def follow_loading(statuses: Statuses, *, show: Callable[[str], None], stop: Callable[[], None]) -> asyncio.Task[None]:
    """Starts a task that ends when every engine is ready; when one has failed, it logs why and soon calls `stop()`.

    Args:
        statuses: of engines that were started.
        show: takes a line of progress, or "" to clear it.
        stop: stops the server.
    """
    task = asyncio.create_task(_follow(statuses, show, stop))
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return task


async def _follow(statuses: Statuses, show: Callable[[str], None], stop: Callable[[], None]) -> None:
    start = time.monotonic()
    while any(status().state is EngineState.LOADING for status in statuses.values()):
        show("; ".join(detail for status in statuses.values() if (detail := status().detail)))
        await asyncio.sleep(_POLL_S)
    show("")
    for name, status in statuses.items():
        if status().state is EngineState.READY:
            logger.info("Ready: serving %s after %.1f s", name, time.monotonic() - start)
    spare_collections()
    await asyncio.to_thread(give_back_memory)
    failed = {name: status().detail for name, status in statuses.items() if status().state is EngineState.ERROR}
    for name, detail in failed.items():
        logger.error("Cannot serve %s: %s", name, detail)
    if failed:
        await asyncio.sleep(_LAST_WORDS_S)
        stop()
