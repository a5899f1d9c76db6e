"""/v1/messages: a chat told as Anthropic tells it, and its count of tokens."""

from __future__ import annotations

from penstock.adapters.engine import Engine
from penstock.http.request import Request
from penstock.http.worker_pool import WorkerPool
from penstock.protocol.anthropic import CountTokensRequest, CountTokensResponse
from penstock.server.routes.generate import warn_of_unread


async def count_message_tokens(
    request: CountTokensRequest, raw_request: Request, *, engine: Engine, pool: WorkerPool
) -> CountTokensResponse:
    """How long the prompt is, whether or not it fits. Raises ApiError on one that cannot be rendered."""
    warn_of_unread(request.chat, raw_request, engine)
    return CountTokensResponse(input_tokens=await pool.run(engine.count_prompt, request.chat))
