"""Puts a foreign engine, which speaks text, behind the same hub as Penstock's own, which speaks token ids.

One task per request reads `InferenceEngineAdapter.generate` and pushes its text; stop strings, events, usage and
counters are then the hub's, the same for all engines.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock import _core
from penstock.adapters.base import InferenceEngineAdapter, ReturnSample
from penstock.adapters.outlets import Outlets
from penstock.errors import ApiError
from penstock.generation import EngineState, EngineStatus, FinishReason, SamplingParams

logger = logging.getLogger("penstock.text_engine")

_ENDS = {FinishReason.STOP.value: _core.END_STOP, FinishReason.LENGTH.value: _core.END_LENGTH}
#: A hub decodes ids by a vocabulary; this one has none, for no ids come.
_NO_VOCABULARY = b'{"model": {"type": "BPE", "vocab": {}, "merges": []}, "decoder": {"type": "ByteLevel"}}'


@dataclass(frozen=True, slots=True)
class TextRequest:
    """One request's work for a foreign engine; as `GenerationRequest`, with texts for prompts."""

    stream_key: int
    prompts: tuple[str, ...]
    sampling: SamplingParams
    is_streamed: bool
    request_id: str

    @property
    def num_choices(self) -> int:
        return len(self.prompts) * self.sampling.n


class TextEngine:
    """A foreign adapter with a hub of its own.

    Args:
        max_requests: that are generated at once; one more is refused.
    """

    def __init__(
        self, adapter: InferenceEngineAdapter, metrics: _core.ModelMetrics, *, max_requests: int, max_pending_bytes: int
    ) -> None:
        vocabulary = _core.Vocabulary.from_json(_NO_VOCABULARY)
        self.adapter = adapter
        self.hub = _core.Hub(vocabulary, metrics, max_pending_bytes=max_pending_bytes)
        self.outlets: Outlets | None = None
        self._max_requests = max_requests
        self._pumps: dict[int, asyncio.Task[None]] = {}
        self._is_stopped = False

    def attach(self) -> Outlets:
        """The engine's outlets on the running loop."""
        if self.outlets is None:
            self.outlets = Outlets(self.hub)
        return self.outlets

    def submit(self, request: TextRequest) -> None:
        """Begins to generate. Raises ApiError "server_overloaded"."""
        self.check_has_room()
        key = request.stream_key
        pump = asyncio.get_running_loop().create_task(self._pump(request))
        self._pumps[key] = pump
        pump.add_done_callback(lambda _: self._pumps.pop(key, None))

    def check_has_room(self) -> None:
        """Raises ApiError "server_overloaded" where `submit` would."""
        if len(self._pumps) >= self._max_requests:
            raise ApiError("server_overloaded", f"The server is busy: {len(self._pumps)} requests are under way.")

    def cancel(self, stream_key: int) -> None:
        """Cancels the adapter's coroutine or iterator, where it waits. Idempotent."""
        if pump := self._pumps.get(stream_key):
            pump.cancel()

    def status(self) -> EngineStatus:
        state = EngineState.STOPPED if self._is_stopped else EngineState.READY
        return EngineStatus(state=state, num_running=len(self._pumps))

    def stop(self) -> None:
        self._is_stopped = True
        for pump in tuple(self._pumps.values()):
            pump.cancel()

    def render_chat(self, messages: Sequence[Mapping[str, Any]], **options: Any) -> str:
        """The prompt of a chat: by the processor's template if it has one, else a line `role: content` per message."""
        processor = self.adapter.processor
        if render := getattr(processor, "render_chat", None):
            return str(render(messages, **options))
        if apply := getattr(processor, "apply_chat_template", None):
            adds = options.get("add_generation_prompt", True)
            return str(apply(messages, tokenize=False, add_generation_prompt=adds))
        lines = [f"{message['role']}: {_text_of(message.get('content'))}" for message in messages]
        return "\n".join([*lines, "assistant:"])

    async def _pump(self, request: TextRequest) -> None:
        key, outlets = request.stream_key, self.attach()
        open_choices = set(range(request.num_choices))
        try:
            for choice in open_choices:
                self.hub.mark_scheduled(key | choice)
            async with contextlib.aclosing(self._samples(request)) as batches:
                async for samples in batches:
                    self._push(key, samples, open_choices)
                    outlets.wake()
                    if not open_choices:
                        break
            for choice in open_choices:
                self.hub.push_text(key | choice, "", num_tokens=0, end=_core.END_STOP)
        except ApiError as error:
            self.hub.fail(key, error.kind, error.message, param=error.param)
        except Exception:
            logger.exception("The engine of %s failed (request %s)", self.adapter.model_name, request.request_id)
            self.hub.fail(key, "engine_error", "The engine failed on this request.")
        outlets.wake()

    async def _samples(self, request: TextRequest) -> AsyncGenerator[list[ReturnSample]]:
        """What the adapter gives, in batches, whether it streams or not."""
        prompts = list(request.prompts) if len(request.prompts) > 1 else request.prompts[0]
        returned: Any = await self.adapter.generate(prompts, request.sampling, request.is_streamed)
        if not hasattr(returned, "__aiter__"):
            yield returned
            return
        async for samples in returned:
            yield samples

    def _push(self, key: int, samples: list[ReturnSample], open_choices: set[int]) -> None:
        for sample in samples:
            if sample.index not in open_choices:
                continue
            end = _ENDS.get(sample.finish_reason, _core.END_STOP) if sample.finish_reason else _core.END_NONE
            ended = self.hub.push_text(key | sample.index, sample.text, num_tokens=sample.num_tokens, end=end)
            if ended or end:
                open_choices.discard(sample.index)


def _text_of(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return content or ""
