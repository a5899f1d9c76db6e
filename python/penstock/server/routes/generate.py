"""The one road of chats and completions: a checked body in, a delivery that an engine already works for out.

Everything that can be refused is refused here, while the answer's head can still say so.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from penstock import _core
from penstock.adapters.base import TokenEngineAdapter
from penstock.adapters.text_engine import TextEngine, TextRequest
from penstock.delivery.delivery import Delivery
from penstock.errors import ApiError
from penstock.generation import GenerationRequest, SamplingParams
from penstock.http.request import Request
from penstock.http.worker_pool import WorkerPool
from penstock.prompt import check_prompt_length, clamp_max_tokens
from penstock.protocol import ChatCompletionRequest, CompletionRequest, GenerationFields
from penstock.server.served_model import ServedModel

#: Below this, rendering and encoding take less (some 0.1 ms) than handing them to a thread and back does when many
#: threads want the interpreter.
_ENCODE_ON_LOOP_CHARS = 512
#: What a message costs beside its content, and its keys when it is nothing but a role and a content.
_MESSAGE_CHARS = 16
_PLAIN_MESSAGE_KEYS = 2


@dataclass(frozen=True, slots=True)
class Prompts:
    """What an engine continues. Attributes: prompts: token ids, or texts for a foreign engine; lengths: in tokens."""

    prompts: tuple[tuple[int, ...], ...] | tuple[str, ...]
    lengths: tuple[int, ...]


async def generate(
    request: ChatCompletionRequest | CompletionRequest, raw_request: Request, *,
    model: ServedModel, sampling: SamplingParams, pool: WorkerPool,
) -> Delivery:  # fmt: skip
    """Reads the prompts, opens a stream and hands the work to the model's engine.

    Raises:
        ApiError: prompts that cannot be continued, or an engine that takes no work.
    """
    model.check_ready()
    if _is_short(request) and isinstance(model.engine, TokenEngineAdapter):
        prompts = read_prompts(model, request)
    else:
        prompts = await pool.run(read_prompts, model, request)
    max_tokens = _max_tokens(model, request, prompts)
    if max_tokens != sampling.max_tokens:
        sampling = replace(sampling, max_tokens=max_tokens)
    key = _open(model, request, raw_request, prompts=prompts, sampling=sampling)
    try:
        _submit(model, key, raw_request, prompts=prompts, sampling=sampling, is_streamed=bool(request.stream))
    except ApiError:
        model.hub.withdraw(key)
        raise
    return model.deliver(key, raw_request, is_streamed=bool(request.stream))


def _is_short(request: ChatCompletionRequest | CompletionRequest) -> bool:
    """Whether it is plain text, and so little that reading it does not keep the loop."""
    if isinstance(request, CompletionRequest):
        return isinstance(request.prompt, str) and len(request.prompt) < _ENCODE_ON_LOOP_CHARS
    if request.documents or request.chat_template_kwargs:
        return False
    num_chars = 0
    for message in request.messages:
        content = message.get("content")
        if not isinstance(content, str) or len(message) != _PLAIN_MESSAGE_KEYS:
            return False
        num_chars += _MESSAGE_CHARS + len(content)
    return num_chars < _ENCODE_ON_LOOP_CHARS


def read_prompts(model: ServedModel, request: ChatCompletionRequest | CompletionRequest) -> Prompts:
    """Renders and encodes. Blocks: for the pool, unless the request is short."""
    engine = model.engine
    if isinstance(engine, TextEngine):
        return _read_texts(engine, model, request)
    if isinstance(request, ChatCompletionRequest):
        ids = [engine.prompt.encode_chat(request.messages, **_template_options(request))]
    else:
        ids = [_encode(engine, prompt) for prompt in request.prompts]
    return Prompts(tuple(map(tuple, ids)), tuple(map(len, ids)))


def _encode(engine: TokenEngineAdapter, prompt: str | list[int]) -> list[int]:
    if isinstance(prompt, str):
        return engine.prompt.encode_text(prompt)
    engine.prompt.check_ids(prompt)
    return prompt


def _read_texts(engine: TextEngine, model: ServedModel, request: ChatCompletionRequest | CompletionRequest) -> Prompts:
    if isinstance(request, ChatCompletionRequest):
        texts: Sequence[Any] = [engine.render_chat(request.messages, **_template_options(request))]
    else:
        texts = request.prompts
    if not all(isinstance(text, str) for text in texts):
        raise ApiError("invalid_type", "'prompt' must be text: this model takes no token ids.", param="prompt")
    lengths = tuple(engine.adapter.count_tokens(text) for text in texts)
    for length in lengths:
        if model.max_model_len is not None and length >= model.max_model_len:
            param = "messages" if isinstance(request, ChatCompletionRequest) else "prompt"
            check_prompt_length(range(length), model.max_model_len, param=param)
    return Prompts(tuple(texts), lengths)


def _template_options(request: ChatCompletionRequest) -> dict[str, Any]:
    continues = bool(request.continue_final_message)
    adds = request.add_generation_prompt
    return {
        "documents": request.documents,
        "add_generation_prompt": not continues if adds is None else adds,
        "continue_final_message": continues,
        "template_kwargs": request.chat_template_kwargs,
    }


def _max_tokens(model: ServedModel, request: GenerationFields, prompts: Prompts) -> int | None:
    wanted = request.new_token_limit
    default = None if isinstance(request, ChatCompletionRequest) else CompletionRequest.default_max_tokens
    if model.max_model_len is None:
        return default if wanted is None else wanted
    longest = max(prompts.lengths)
    return clamp_max_tokens(wanted, num_prompt_tokens=longest, max_model_len=model.max_model_len, default=default)


def _open(
    model: ServedModel, request: GenerationFields, raw_request: Request, *, prompts: Prompts, sampling: SamplingParams
) -> int:
    is_chat = isinstance(request, ChatCompletionRequest)
    opening = _core.Opening(
        dialect="chat" if is_chat else "completions",
        response_id=_core.mint_id("chatcmpl-" if is_chat else "cmpl-"),
        model=model.name,
        created=int(time.time()),
        is_streamed=bool(request.stream),
        num_choices=len(prompts.prompts) * sampling.n,
        include_usage=request.include_usage,
        stop=list(sampling.stop),
        prompt_tokens=sum(prompts.lengths),
        max_tokens=sampling.max_tokens or 0,
        keep_alive_s=model.keep_alive_s,
        request_id=raw_request.request_id,
        arrival=raw_request.arrival,
    )
    return model.hub.open(opening)


def _submit(
    model: ServedModel, key: int, raw_request: Request, *, prompts: Prompts, sampling: SamplingParams, is_streamed: bool
) -> None:
    engine, request_id = model.engine, raw_request.request_id
    if isinstance(engine, TextEngine):
        texts: Any = prompts.prompts
        engine.submit(TextRequest(key, texts, sampling, is_streamed=is_streamed, request_id=request_id))
    else:
        ids: Any = prompts.prompts
        engine.submit(GenerationRequest(key, ids, sampling, request_id, api_key_id=raw_request.api_key_id))
