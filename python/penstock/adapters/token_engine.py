"""`generate()` of every engine that feeds a hub: what the server does for a client, done for a caller in Python.

The frames are read back as any client would read them, so a caller sees exactly what the wire shows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import orjson

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
    outlets = engine.attach()
    await _until_ready(engine, outlets)
    texts = [prompts] if isinstance(prompts, str) else prompts
    encoded = await asyncio.to_thread(engine.read_prompts, CompletionRequest.model_construct(prompt=texts))
    deltas = _deltas(outlets, engine, _request(engine, encoded, sampling_params))
    if stream:
        return deltas
    return await _joined(deltas, num_choices=len(texts) * sampling_params.n)


def _request(engine: Engine, prompts: tuple[Prompt, ...], sampling: SamplingParams) -> GenerationRequest:
    assert engine.max_model_len is not None, "an engine that reads ids knows its context"
    longest = max(prompt.num_tokens for prompt in prompts)
    max_tokens = clamp_max_tokens(sampling.max_tokens, num_prompt_tokens=longest, max_model_len=engine.max_model_len)
    request_id = _core.mint_id("req_")
    key = engine.hub.open(
        response_id=_core.mint_id("cmpl-"),
        model=engine.name,
        created=int(time.time()),
        chat=False,
        streamed=True,
        num_choices=len(prompts) * sampling.n,
        include_usage=False,
        stop=list(sampling.stop),
        prompt_tokens=sum(prompt.num_tokens for prompt in prompts),
        max_tokens=max_tokens,
        request_id=request_id,
        arrival=time.monotonic(),
    )
    return GenerationRequest(
        stream_key=key,
        prompts=prompts,
        sampling=replace(sampling, max_tokens=max_tokens),
        request_id=request_id,
    )


async def _until_ready(engine: Engine, outlets: Outlets) -> None:
    while (status := engine.status()).state is EngineState.LOADING:
        await outlets.turn()
    if status.state is not EngineState.READY:
        raise ApiError("engine_dead", f"The engine cannot answer: {status.detail or status.state.value}.")


async def _deltas(outlets: Outlets, engine: Engine, request: GenerationRequest) -> AsyncIterator[list[ReturnSample]]:
    key, status = request.stream_key, 0
    outlets.follow(key)
    try:
        engine.submit(request)
        while not status:
            frames, status = await outlets.next(key)
            if samples := list(_samples(frames)):
                yield samples
    finally:
        outlets.close(key)
        if not status:  # the caller has left, or the engine refused
            engine.cancel(key)
            outlets.hub.cancel(key)


def _samples(frames: bytes) -> Iterator[ReturnSample]:
    for event in frames.split(b"\n\n"):
        if not event.startswith(b"data: ") or event == b"data: [DONE]":
            continue
        content: dict[str, Any] = orjson.loads(event[6:])
        if error := content.get("error"):
            raise ApiError("engine_error", error["message"], param=error["param"])
        for choice in content["choices"]:
            reason = choice["finish_reason"]
            if choice["text"] or reason:
                yield ReturnSample(choice["index"], choice["text"], 1 if choice["text"] else 0, reason)


async def _joined(deltas: AsyncIterator[list[ReturnSample]], *, num_choices: int) -> list[ReturnSample]:
    whole = [ReturnSample(index, "", 0) for index in range(num_choices)]
    async for samples in deltas:
        for new in samples:
            old = whole[new.index]
            whole[new.index] = ReturnSample(
                new.index, old.text + new.text, old.num_tokens + new.num_tokens, new.finish_reason or old.finish_reason
            )
    return whole
