"""What happens once engines are ready."""

import asyncio
import gc
from collections.abc import Iterator

import pytest
from driver import echo_server

from penstock.life.loading import follow_loading


@pytest.fixture
def collector() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def test_a_full_collection_walks_only_what_came_after_ready(collector: None) -> None:
    server = echo_server()

    async def scene() -> None:
        await server.startup()
        await follow_loading(server.engine_statuses(), show=lambda line: None, stop=lambda: None)
        await server.shutdown()

    asyncio.run(scene())
    assert gc.get_freeze_count() > 10_000
    assert len(gc.get_objects()) < 10_000
    kept = [[]]
    kept.append(kept)
    del kept
    assert gc.collect() >= 1, "what is made now is still collected"
