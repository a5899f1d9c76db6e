"""Puts a foreign engine, which speaks text, behind the same hub as Penstock's own, which speaks token ids.

One task per request reads `InferenceEngineAdapter.generate` and pushes its text; stop strings, events, usage and
counters are then the hub's, the same for all engines.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any

from penstock import _core
from penstock.abilities import Abilities
from penstock.adapters.base import InferenceEngineAdapter
from penstock.adapters.chat_text import ChatText
from penstock.adapters.engine import Engine, PromptRequest
from penstock.adapters.foreign_choices import DetermineFinishReason, ForeignChoices
from penstock.adapters.foreign_samples import AdapterFaultError, read_samples
from penstock.adapters.sample import ReturnSample
from penstock.adapters.token_prompts import template_options
from penstock.errors import ApiError
from penstock.generation import (
    EngineState,
    EngineStatus,
    GenerationRequest,
    Prompt,
    SamplingDefaults,
    SamplingParams,
)
from penstock.prompt import check_prompt_length
from penstock.protocol import ChatCompletionRequest, fields_of

logger = logging.getLogger("penstock.foreign_engine")

#: A hub decodes ids by a vocabulary; this one has none, for no ids come.
_NO_VOCABULARY = b'{"model": {"type": "BPE", "vocab": {}, "merges": []}, "decoder": {"type": "ByteLevel"}}'
_STOP_WAIT_S = 5.0
_WIRE_NAMES = {"template_kwargs": ("reasoning_effort", "enable_thinking", "chat_template_kwargs")}


def engine_of(
    adapter: InferenceEngineAdapter, metrics: _core.ModelMetrics, *,
    max_requests: int, max_pending_bytes: int, determine_finish_reason: DetermineFinishReason,
) -> Engine:  # fmt: skip
    """The adapter itself where it is an engine, else what makes it one. Arguments as `ForeignEngine`'s."""
    if isinstance(adapter, Engine):
        return adapter
    return ForeignEngine(
        adapter, metrics, max_requests=max_requests, max_pending_bytes=max_pending_bytes,
        determine_finish_reason=determine_finish_reason,
    )  # fmt: skip


class ForeignEngine(Engine):
    """A foreign adapter with a hub of its own.

    Args:
        metrics: of its model.
        max_requests: that run or wait at once; one more is refused.
        determine_finish_reason: for choices that the adapter leaves without one.
    """

    reads_extra = True

    def __init__(
        self, adapter: InferenceEngineAdapter, metrics: _core.ModelMetrics, *,
        max_requests: int, max_pending_bytes: int, determine_finish_reason: DetermineFinishReason,
    ) -> None:  # fmt: skip
        vocabulary = _core.Vocabulary.from_json(_NO_VOCABULARY)
        self.adapter = adapter
        self.hub = _core.Hub(vocabulary, metrics, max_pending_bytes=max_pending_bytes)
        self._metrics = metrics
        self._max_requests = max_requests
        self._determine_finish_reason = determine_finish_reason
        self._on_step: Callable[[], None] = lambda: None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turns = asyncio.Semaphore(adapter.max_running or max_requests)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._num_choices: dict[int, int] = {}  # of all requests, by stream key
        self._waiting: set[int] = set()  # stream keys
        self._is_stopped = False
        self._read_from_extra = fields_of(adapter.abilities)

    @property
    def name(self) -> str:
        return self.adapter.model_name

    @property
    def abilities(self) -> Abilities:
        return self.adapter.abilities

    @property
    def sampling_defaults(self) -> SamplingDefaults:  # type: ignore[override]  # the adapter's, whenever it says so
        return self.adapter.sampling_defaults

    @property
    def max_model_len(self) -> int | None:
        told = self.model_info().get("max_model_len")
        return told if isinstance(told, int) else None

    def model_info(self) -> dict[str, Any]:
        told: Any = self.adapter.get_model_info()
        if not isinstance(told, dict):
            raise AdapterFaultError("get_model_info() must return a dict")
        return told

    def count_tokens(self, content: str | list[dict[str, Any]]) -> int:
        count: Any = self.adapter.count_tokens(content)
        if not isinstance(count, int) or count < 0:
            raise AdapterFaultError("count_tokens() must return an integer of at least 0")
        return count

    # ---- a request

    def is_quick(self, request: PromptRequest) -> bool:
        return False

    def read_prompts(self, request: PromptRequest, *, tenant: str | None = None) -> tuple[Prompt, ...]:
        if isinstance(request, ChatCompletionRequest):
            prompts = [self._read_text(self._render(request), param="messages")]
        else:
            prompts = [self._read(prompt) for prompt in request.prompts]
        return tuple(prompts)

    def unread_options(self, request: PromptRequest) -> list[str]:
        if not isinstance(request, ChatCompletionRequest):
            return []
        unread = ChatText(self.adapter.processor).unread(template_options(request))
        names = [wire for name in unread for wire in _WIRE_NAMES.get(name, (name,)) if getattr(request, wire)]
        return [name for name in names if name not in self._read_from_extra]

    def _render(self, request: ChatCompletionRequest) -> str:
        if not self.abilities.chat:
            raise ApiError("invalid_request", "This model cannot chat; use /v1/completions.", param="messages")
        return ChatText(self.adapter.processor).render(request.messages, template_options(request))

    def _read(self, prompt: str | list[int]) -> Prompt:
        if isinstance(prompt, str):
            return self._read_text(prompt, param="prompt")
        if not self.abilities.token_prompts:
            raise ApiError("invalid_type", "'prompt' must be text: this model takes no token ids.", param="prompt")
        self._check_length(len(prompt), param="prompt")
        return Prompt.of_ids(prompt)

    def _read_text(self, text: str, *, param: str) -> Prompt:
        num_tokens = self.count_tokens(text)
        self._check_length(num_tokens, param=param)
        return Prompt(num_tokens, text=text)

    def _check_length(self, num_tokens: int, *, param: str) -> None:
        limit = self.max_model_len
        if limit is not None and num_tokens >= limit:
            check_prompt_length(range(num_tokens), limit, param=param)

    def check_ids(self, ids: Sequence[int], *, param: str) -> None:
        """Which ids there are is the adapter's affair."""

    def check_sampling(self, sampling: SamplingParams) -> None:
        """What it does with its parameters is the adapter's affair."""

    def check_has_room(self) -> None:
        if len(self._tasks) >= self._max_requests:
            raise ApiError("server_overloaded", f"The server is busy: {len(self._tasks)} requests are under way.")

    def submit(self, request: GenerationRequest) -> None:
        self.check_has_room()
        if self._is_stopped:
            raise ApiError("engine_dead", "The engine has stopped.")
        key = request.stream_key
        self._num_choices[key] = request.num_choices
        self._waiting.add(key)
        self._tasks[key] = asyncio.get_running_loop().create_task(self._serve(request))
        self._tasks[key].add_done_callback(lambda _: self._forget(key))
        self._show_gauges()

    def cancel(self, stream_key: int) -> None:
        """Cancels the adapter's coroutine or iterator, where it waits."""
        if task := self._tasks.get(stream_key):
            task.cancel()

    # ---- its life

    def start(self, on_step: Callable[[], None]) -> None:
        self._on_step = on_step
        self._loop = asyncio.get_running_loop()

    def status(self) -> EngineStatus:
        state, detail = self._state()
        num_waiting = sum(self._num_choices.get(key, 0) for key in tuple(self._waiting))
        num_running = sum(tuple(self._num_choices.values())) - num_waiting
        return EngineStatus(state=state, detail=detail, num_running=max(num_running, 0), num_waiting=num_waiting)

    def stop(self) -> None:
        self._is_stopped = True
        loop = self._loop
        if loop is None or not loop.is_running():
            return
        ending = asyncio.run_coroutine_threadsafe(self._end_all(), loop)
        with contextlib.suppress(TimeoutError):
            if not _is_on(loop):
                ending.result(_STOP_WAIT_S)

    def _state(self) -> tuple[EngineState, str]:
        if self._is_stopped:
            return EngineState.STOPPED, ""
        try:
            if self.adapter.healthy():
                return EngineState.READY, ""
        except Exception as error:
            return EngineState.ERROR, f"The engine's healthy() failed ({type(error).__name__})."
        return EngineState.ERROR, "The engine says that it cannot answer now."

    async def _end_all(self) -> None:
        tasks = tuple(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, key: int) -> None:
        del self._tasks[key], self._num_choices[key]
        self._waiting.discard(key)
        self._show_gauges()

    def _show_gauges(self) -> None:
        num_waiting = sum(self._num_choices[key] for key in self._waiting)
        self._metrics.set("vllm:num_requests_waiting", num_waiting)
        self._metrics.set("vllm:num_requests_running", sum(self._num_choices.values()) - num_waiting)

    # ---- the task of a request

    async def _serve(self, request: GenerationRequest) -> None:
        key = request.stream_key
        try:
            async with self._turns:
                self._waiting.discard(key)
                self._show_gauges()
                await self._generate(request)
        except asyncio.CancelledError:
            if self._is_stopped:
                self.hub.fail(key, "draining", "The server is shutting down.")
            raise
        except ApiError as error:
            if isinstance(error, AdapterFaultError):
                logger.error("Request %s to %s: %s", request.request_id, self.name, error.message)
            self.hub.fail(key, error.kind, error.message, param=error.param)
        except Exception:
            logger.exception("The engine of %s failed (request %s)", self.name, request.request_id)
            self.hub.fail(key, "engine_error", "The engine failed on this request.")
        finally:
            self._on_step()

    async def _generate(self, request: GenerationRequest) -> None:
        choices = ForeignChoices(self.hub, request, self._determine_finish_reason)
        if request.sampling.max_tokens == 0:  # for nothing, no engine need be asked
            choices.push([ReturnSample(index, "", 0, "length") for index in range(request.num_choices)])
            return
        given: Any = self.adapter.generate(_prompts_of(request), request.sampling, request.is_streamed)
        async with contextlib.aclosing(read_samples(given)) as batches:
            async for samples in batches:
                choices.push(samples)
                self._on_step()
                if choices.are_done:
                    return
        choices.finish()


def _prompts_of(request: GenerationRequest) -> Any:
    """A prompt, or a list of several; each its text or, where there is none, its ids."""
    prompts = [prompt.ids if prompt.text is None else prompt.text for prompt in request.prompts]
    return prompts if len(prompts) > 1 else prompts[0]


def _is_on(loop: asyncio.AbstractEventLoop) -> bool:
    with contextlib.suppress(RuntimeError):
        return asyncio.get_running_loop() is loop
    return False
