"""`generate()` of every engine that feeds a hub: what the server does for a client, done for a caller in Python.

The stream speaks no API but gives its deltas: the text that the wire shows, with all tokens that it cost.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace

from penstock import _core
from penstock.adapters.engine import Engine
from penstock.adapters.outlets import Outlets
from penstock.adapters.sample import ReturnSample
from penstock.errors import ApiError
from penstock.generation import EngineState, GenerationRequest, Prompt, SamplingParams
from penstock.prompt import clamp_max_tokens
from penstock.protocol import CompletionRequest


async def generate(
    engine: Engine, prompts: str | list[str], sampling_params: SamplingParams, *, stream: bool
) -> list[ReturnSample] | AsyncIterator[list[ReturnSample]]:
    """All samples at once, ordered by index, or an async iterator of deltas.

    Raises:
        ApiError: a prompt that is too long, or an engine that cannot answer.
    """
    engine.check_sampling(sampling_params)
    outlets = engine.attach()
    await _until_ready(engine, outlets)
    texts = [prompts] if isinstance(prompts, str) else prompts
    encoded = await asyncio.to_thread(engine.read_prompts, CompletionRequest.model_construct(prompt=texts))
    request = _request(engine, encoded, sampling_params, is_streamed=stream)
    samples = _samples(outlets, engine, request)
    if stream:
        return samples
    return sorted([sample async for batch in samples for sample in batch], key=lambda sample: sample.index)


def _request(
    engine: Engine, prompts: tuple[Prompt, ...], sampling: SamplingParams, *, is_streamed: bool
) -> GenerationRequest:
    assert engine.max_model_len is not None, "an engine that reads ids knows its context"
    longest = max(prompt.num_tokens for prompt in prompts)
    max_tokens = clamp_max_tokens(sampling.max_tokens, num_prompt_tokens=longest, max_model_len=engine.max_model_len)
    request_id = _core.mint_id("req_")
    opening = _core.Opening(
        dialect="deltas",
        response_id=request_id,
        model=engine.name,
        created=int(time.time()),
        is_streamed=is_streamed,
        num_choices=len(prompts) * sampling.n,
        stop=list(sampling.stop),
        prompt_tokens=sum(prompt.num_tokens for prompt in prompts),
        max_tokens=max_tokens,
        request_id=request_id,
        arrival=time.monotonic(),
    )
    return GenerationRequest(
        stream_key=engine.hub.open(opening),
        prompts=prompts,
        sampling=replace(sampling, max_tokens=max_tokens),
        request_id=request_id,
    )


async def _until_ready(engine: Engine, outlets: Outlets) -> None:
    while (status := engine.status()).state is EngineState.LOADING:
        await outlets.turn()
    if status.state is not EngineState.READY:
        raise ApiError("engine_dead", f"The engine cannot answer: {status.detail or status.state.value}.")


async def _samples(outlets: Outlets, engine: Engine, request: GenerationRequest) -> AsyncGenerator[list[ReturnSample]]:
    key, status = request.stream_key, 0
    outlets.follow(key)
    try:
        engine.submit(request)
        while not status:
            deltas, status, error = await outlets.next_deltas(key)
            if deltas:
                yield [ReturnSample(*delta) for delta in deltas]
            if error is not None:
                kind, message, param = error
                raise ApiError(kind, message, param=param)
    finally:
        outlets.close(key)
        if not status:  # the caller has left, or the engine refused
            engine.cancel(key)
            outlets.hub.cancel(key)
