"""The one road of chats and completions: a checked body in, a delivery that an engine already works for out.

Everything that can be refused is refused here, while the answer's head can still say so.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from penstock import _core
from penstock.adapters.engine import Engine, PromptRequest
from penstock.delivery.delivery import Delivery
from penstock.errors import ApiError
from penstock.generation import GenerationRequest, Prompt, SamplingParams
from penstock.http.request import Request
from penstock.http.worker_pool import WorkerPool
from penstock.prompt import clamp_max_tokens
from penstock.protocol import ChatCompletionRequest, CompletionRequest
from penstock.server.served_model import ServedModel

#: What a hub can be told of a limit.
_MAX_TOKENS_SHOWN = 2**32 - 1


async def generate(
    request: PromptRequest, raw_request: Request, *,
    model: ServedModel, sampling: SamplingParams, pool: WorkerPool,
) -> Delivery:  # fmt: skip
    """Reads the prompts, opens a stream and hands the work to the model's engine.

    Raises:
        ApiError: prompts that cannot be continued, or an engine that takes no work.
    """
    model.check_ready()
    engine = model.engine
    engine.check_sampling(sampling)
    quick = engine.is_quick(request)
    prompts = engine.read_prompts(request) if quick else await pool.run(engine.read_prompts, request)
    raw_request.warnings += engine.unread_options(request)
    max_tokens = _max_tokens(engine, request, prompts=prompts, wanted=sampling.max_tokens)
    asked = request.new_token_limit
    if max_tokens is not None and asked is not None and max_tokens < asked:
        raw_request.warnings.append("max_tokens")  # clamped to the room that is left, or lowered by the server
    if max_tokens != sampling.max_tokens:
        sampling = replace(sampling, max_tokens=max_tokens)
    key = _open(model, request, raw_request, prompts=prompts, sampling=sampling)
    is_streamed = bool(request.stream)
    work = GenerationRequest(
        key, prompts, sampling, raw_request.request_id, api_key_id=raw_request.api_key_id, is_streamed=is_streamed
    )
    try:
        engine.submit(work)
    except ApiError:
        model.hub.withdraw(key)
        raise
    return model.deliver(key, raw_request, is_streamed=is_streamed)


def _max_tokens(engine: Engine, request: PromptRequest, *, prompts: Sequence[Prompt], wanted: int | None) -> int | None:
    default = None if isinstance(request, ChatCompletionRequest) else CompletionRequest.default_max_tokens
    limit = engine.max_model_len
    if limit is None:
        return default if wanted is None else wanted
    longest = max(prompt.num_tokens for prompt in prompts)
    return clamp_max_tokens(wanted, num_prompt_tokens=longest, max_model_len=limit, default=default)


def _open(
    model: ServedModel, request: PromptRequest, raw_request: Request, *,
    prompts: Sequence[Prompt], sampling: SamplingParams,
) -> int:  # fmt: skip
    is_chat = isinstance(request, ChatCompletionRequest)
    opening = _core.Opening(
        dialect="chat" if is_chat else "completions",
        response_id=_core.mint_id("chatcmpl-" if is_chat else "cmpl-"),
        model=model.name,
        created=int(time.time()),
        is_streamed=bool(request.stream),
        num_choices=len(prompts) * sampling.n,
        include_usage=request.include_usage,
        stop=list(sampling.stop),
        prompt_tokens=sum(prompt.num_tokens for prompt in prompts),
        max_tokens=min(sampling.max_tokens or 0, _MAX_TOKENS_SHOWN),
        keep_alive_s=raw_request.keep_alive_s(model.keep_alive_s),
        request_id=raw_request.request_id,
        arrival=raw_request.arrival,
    )
    return model.hub.open(opening)
