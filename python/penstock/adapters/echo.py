"""A fake engine: one token of a fixed text to every live sequence each interval, through the real hub.

For front-end tests and benches: it computes nothing, so what is left to measure is the road from a token to a client.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from penstock import _core
from penstock.adapters.base import TokenEngineAdapter
from penstock.adapters.echo_batch import EchoBatch, visible_tokens
from penstock.adapters.outlets import Outlets
from penstock.errors import ApiError
from penstock.generation import EngineState, EngineStatus, GenerationRequest, SamplingDefaults

if TYPE_CHECKING:
    from penstock.config import Settings
    from penstock.prompt import PromptEncoder

logger = logging.getLogger("penstock.echo")

_MAX_LIVE = 1024
_MAX_MODEL_LEN = 32768
#: Unpaced: a stream with more unread bytes than this gets no token. Some ten events, so that a stream always has the
#: next ones ready while its last are being sent, and none runs far ahead of the others.
_WATERMARK_BYTES = 2048
_STOP_WAIT_S = 5.0


class EchoEngine(TokenEngineAdapter):
    """Echoes no one: every sequence gets the same text, from its first token on, until its limit.

    At most 1024 sequences are live; more wait, and of those at most `max_queued_requests` requests.
    """

    def __init__(
        self, settings: Settings, prompt: PromptEncoder, hub: _core.Hub, metrics: _core.Metrics, model_name: str
    ) -> None:
        self.hub = hub
        self.prompt = prompt
        self.max_model_len = min(settings.max_model_len or _MAX_MODEL_LEN, _MAX_MODEL_LEN)
        prompt.max_model_len = self.max_model_len
        self.sampling_defaults = SamplingDefaults()
        self._metrics = metrics
        self._model_name = model_name
        self._interval_s = settings.echo_interval_ms / 1e3
        self._max_queued = settings.max_queued_requests
        self._tokens = visible_tokens(prompt)
        self._live = EchoBatch()
        self._waiting: dict[int, GenerationRequest] = {}
        self._num_waiting = 0  # choices of all of them
        self._cancelled: set[int] = set()
        self._state = EngineState.LOADING
        self._step_began: float | None = None
        self._changed = threading.Condition()
        self._is_waiting_for_room = False
        self._on_step: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._run, name="penstock-echo", daemon=True)

    @property
    def model_name(self) -> str:
        return self._model_name

    def get_model_info(self) -> dict[str, Any]:
        return {"architecture": "echo", "vocab_size": self.prompt.vocab_size}

    def attach(self) -> Outlets:
        if self.outlets is None:
            self.outlets = Outlets(self.hub, on_taken=self.note_taken)
            self.start(self.outlets.wake)
        return self.outlets

    def start(self, on_step: Any) -> None:
        self._on_step = on_step
        self._thread.start()

    def submit(self, request: GenerationRequest) -> None:
        with self._changed:
            if self._state is not EngineState.READY:
                kind = "model_loading" if self._state is EngineState.LOADING else "engine_dead"
                raise ApiError(kind, f"The engine is {self._state.value}.")
            self.check_has_room()
            self._waiting[request.stream_key] = request
            self._num_waiting += request.num_choices
            self._changed.notify()

    def check_has_room(self) -> None:
        # What there is a place for waits only until the engine's thread looks, and does not count.
        if len(self._waiting) >= self._max_queued + max(0, _MAX_LIVE - len(self._live)):
            raise ApiError(
                "server_overloaded",
                f"The server is busy: {len(self._waiting)} requests are waiting already.",
                retry_after_s=max(1.0, self._interval_s),
            )

    def cancel(self, stream_key: int) -> None:
        with self._changed:
            waiting = self._waiting.pop(stream_key, None)
            if waiting is None:
                self._cancelled.add(stream_key)
            else:
                self._num_waiting -= waiting.num_choices
            self._changed.notify()

    def note_taken(self) -> None:
        if self._is_waiting_for_room:
            with self._changed:
                self._is_waiting_for_room = False
                self._changed.notify()

    def status(self) -> EngineStatus:
        began = self._step_began
        return EngineStatus(
            state=self._state,
            num_running=len(self._live),
            num_waiting=self._num_waiting,
            heartbeat_age_s=0.0 if began is None else time.monotonic() - began,
        )

    def stop(self) -> None:
        with self._changed:
            self._state = EngineState.STOPPED
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(_STOP_WAIT_S)

    # ---- the engine's thread

    def _run(self) -> None:
        self._state = EngineState.READY
        self._on_step()
        due = time.monotonic()
        try:
            while self._state is EngineState.READY:
                if not len(self._live):
                    self._wait_for_work()
                    due = time.monotonic()
                due = self._pace(due)
                self._step()
        except Exception:
            logger.exception("The echo engine failed")
            self._state = EngineState.ERROR
        self._on_step()

    def _wait_for_work(self) -> None:
        # Gauges come with a step; of an idle engine nobody else would say so.
        self._metrics.set("vllm:num_requests_running", 0)
        self._metrics.set("vllm:num_requests_waiting", len(self._waiting))
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._cancelled or self._state is not EngineState.READY)

    def _pace(self, due: float) -> float:
        """Sleeps until `due`; returns when the next step is. On an absolute schedule, so that no drift adds up."""
        if self._interval_s:
            now = time.monotonic()
            time.sleep(max(0.0, due - now))
            # Far behind (a stopped process), the lost steps are not made up for.
            due = max(due, now - self._interval_s) + self._interval_s
        return due

    def _step(self) -> None:
        if self._waiting or self._cancelled:
            self._admit()
        live = self._live
        if not len(live):
            return
        has_room = b"" if self._interval_s else self.hub.rows_with_room(live.keys, _WATERMARK_BYTES)
        if has_room and not any(has_room):
            self._wait_for_room()
            return
        keys, ids, ends = live.next_tokens(self._tokens, has_room)
        self._step_began = time.monotonic()
        freed = self.hub.push_step(
            keys, ids, ends, num_running=len(live), num_waiting=len(self._waiting), num_pages_in_use=0
        )
        self._step_began = None
        if freed or any(ends):
            gone = set(freed)
            gone.update(key for key, end in zip(keys, ends, strict=True) if end)
            live.drop(gone)
        self._on_step()

    def _wait_for_room(self) -> None:
        """Returns when frames were taken or the batch changes."""
        with self._changed:
            self._is_waiting_for_room = True
            # What was taken before the flag went up has notified nobody: look once more.
            if not any(self.hub.rows_with_room(self._live.keys, _WATERMARK_BYTES)):
                self._changed.wait_for(
                    lambda: not self._is_waiting_for_room or self._waiting or self._cancelled
                    or self._state is not EngineState.READY
                )  # fmt: skip
            self._is_waiting_for_room = False

    def _admit(self) -> None:
        with self._changed:
            cancelled, self._cancelled = self._cancelled, set()
            admitted: list[GenerationRequest] = []
            room = _MAX_LIVE - len(self._live)
            for key, request in list(self._waiting.items()):
                room -= request.num_choices
                if room < 0 and (admitted or len(self._live)):
                    break
                admitted.append(self._waiting.pop(key))
                self._num_waiting -= request.num_choices
        if cancelled:
            mask = ~((1 << _core.CHOICE_BITS) - 1)
            self._live.drop({key for key in self._live.keys if key & mask in cancelled})
        for request in admitted:
            for choice in range(request.num_choices):
                self.hub.mark_scheduled(request.stream_key | choice)
                self._live.add(request.stream_key | choice, max_tokens=request.sampling.max_tokens or 1)
