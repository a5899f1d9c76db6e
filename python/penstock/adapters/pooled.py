"""Has an engine embed prompts: a stream of the hub that no token comes through, and vectors beside it.

The stream gives what every other has: a place in the queue, counters, an end by error, a client that leaves.
"""

from __future__ import annotations

from penstock.adapters.engine import Engine
from penstock.adapters.stream_opening import open_stream
from penstock.errors import ApiError
from penstock.generation import Prompt, SamplingParams
from penstock.pooling import PooledVectors

#: The prompt alone.
_NO_TOKENS = SamplingParams(max_tokens=0, temperature=0.0)


async def embed_prompts(
    engine: Engine, prompts: tuple[Prompt, ...], vectors: PooledVectors, *,
    response_id: str, model_name: str, request_id: str, arrival: float, tenant: str,
) -> None:  # fmt: skip
    """Returns when `vectors` are whole. Arguments as of `open_stream`.

    Raises:
        ApiError: the engine takes no work, or fails.
    """
    outlets = engine.attach()
    key = open_stream(
        engine, prompts, _NO_TOKENS,
        dialect="deltas", response_id=response_id, model_name=model_name, request_id=request_id, arrival=arrival,
        is_streamed=False, tenant=tenant, vectors=vectors,
    )  # fmt: skip
    outlets.follow(key)
    status = 0
    try:
        while not status:
            _, status, error = await outlets.next_deltas(key)
            if error is not None:
                kind, message, param = error
                raise ApiError(kind, message, param=param)
    finally:
        outlets.close(key)
        if not status:  # the client has left, or the time is over
            engine.cancel(key)
            engine.hub.cancel(key)
