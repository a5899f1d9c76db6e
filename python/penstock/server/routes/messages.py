"""/v1/messages: a chat told as Anthropic tells it, and its count of tokens."""

from __future__ import annotations

from penstock.adapters.engine import Engine
from penstock.http.worker_pool import WorkerPool
from penstock.protocol import Limits
from penstock.protocol.anthropic import CountTokensRequest, CountTokensResponse


async def count_message_tokens(
    request: CountTokensRequest, *, engine: Engine, limits: Limits, pool: WorkerPool
) -> CountTokensResponse:
    """How long the prompt is, whether or not it fits. Raises ApiError as a message would."""

    def count() -> int:
        return engine.count_prompt(request.to_chat(limits))

    return CountTokensResponse(input_tokens=await pool.run(count))
