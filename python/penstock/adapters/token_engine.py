"""`generate()` of every engine that feeds a hub: what the server does for a client, done for a caller in Python.

The stream speaks no API but gives its deltas: the text that the wire shows, with all tokens that it cost.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator

from penstock import _core
from penstock.adapters.engine import Engine
from penstock.adapters.outlets import Outlets
from penstock.adapters.sample import ReturnSample
from penstock.adapters.stream_opening import new_token_limit, open_stream
from penstock.errors import ApiError
from penstock.generation import EngineState, Prompt, SamplingParams
from penstock.output_options import OutputOptions
from penstock.protocol import CompletionRequest


async def generate(
    engine: Engine, prompts: str | list[str], sampling_params: SamplingParams, *, stream: bool
) -> list[ReturnSample] | AsyncIterator[list[ReturnSample]]:
    """All samples at once, ordered by index, or an async iterator of deltas.

    Raises:
        ApiError: a prompt that is too long, parameters that the engine or a sample has no place for, or an engine that
            cannot answer.
    """
    _check(engine, sampling_params)
    outlets = engine.attach()
    await _until_ready(engine, outlets)
    texts = [prompts] if isinstance(prompts, str) else prompts
    encoded = await asyncio.to_thread(engine.read_prompts, CompletionRequest.model_construct(prompt=texts))
    if sampling_params.bad_words:
        sampling_params = await asyncio.to_thread(engine.read_sampling, sampling_params)
    max_tokens = new_token_limit(engine, encoded, wanted=sampling_params.max_tokens)
    samples = _samples(outlets, engine, encoded, sampling_params.with_max_tokens(max_tokens), is_streamed=stream)
    if stream:
        return samples
    return sorted([sample async for batch in samples for sample in batch], key=lambda sample: sample.index)


def _check(engine: Engine, sampling: SamplingParams) -> None:
    engine.check_sampling(sampling)
    if sampling.needs_logprobs or sampling.prompt_logprobs is not None:
        name = "best_of" if sampling.num_computed > sampling.n else "logprobs"
        raise ApiError("unsupported_parameter", f"'{name}' is of the HTTP API: samples have no logprobs.", param=name)
    for name in ("stop_token_ids", "allowed_token_ids", "logit_bias"):
        if ids := getattr(sampling, name):
            engine.check_ids(tuple(ids), param=name)


async def _until_ready(engine: Engine, outlets: Outlets) -> None:
    while (status := engine.status()).state is EngineState.LOADING:
        await outlets.turn()
    if status.state is not EngineState.READY:
        raise ApiError("engine_dead", f"The engine cannot answer: {status.detail or status.state.value}.")


async def _samples(
    outlets: Outlets, engine: Engine, prompts: tuple[Prompt, ...], sampling: SamplingParams, *, is_streamed: bool
) -> AsyncGenerator[list[ReturnSample]]:
    request_id = _core.mint_id("req_")
    key = open_stream(  # here, where the generator ends it again: one that nobody iterates opens nothing
        engine, prompts, sampling,
        dialect="deltas", response_id=request_id, model_name=engine.name, request_id=request_id,
        arrival=time.monotonic(), is_streamed=is_streamed, output=_output_of(sampling),
    )  # fmt: skip
    outlets.follow(key)
    status = 0
    try:
        while not status:
            deltas, status, error = await outlets.next_deltas(key)
            if deltas:
                yield [_sample_of(delta) for delta in deltas]
            if error is not None:
                kind, message, param = error
                raise ApiError(kind, message, param=param)
    finally:
        outlets.close(key)
        if not status:  # the caller has left
            engine.cancel(key)
            outlets.hub.cancel(key)


def _output_of(sampling: SamplingParams) -> OutputOptions:
    return OutputOptions(
        include_stop_str=sampling.include_stop_str_in_output, skip_special_tokens=sampling.skip_special_tokens
    )


def _sample_of(delta: tuple[int, str, str, int, str | None, int, str]) -> ReturnSample:
    index, kind, text, num_tokens, reason, call, call_id = delta
    if kind == "text":
        return ReturnSample(index, text, num_tokens, reason)
    if kind == "reasoning":
        return ReturnSample(index, "", num_tokens, reason, reasoning=text)
    begins = kind == "tool_call"
    function = {"name": text, "arguments": ""} if begins else {"arguments": text}
    piece = {"index": call, "function": function} | ({"id": call_id, "type": "function"} if begins else {})
    return ReturnSample(index, "", num_tokens, reason, tool_calls=[piece])
