"""One model of a server: its engine, its hub's outlets, and what all of its streams share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from penstock import _core
from penstock.adapters.base import InferenceEngineAdapter, TokenEngineAdapter
from penstock.adapters.outlets import Outlets, attach
from penstock.adapters.text_engine import TextEngine
from penstock.delivery.delivery import Delivery
from penstock.errors import ApiError
from penstock.generation import EngineState, EngineStatus, SamplingDefaults
from penstock.http.request import Request

Engine = TokenEngineAdapter | TextEngine

#: A stream whose reader took nothing for so many keep-alive intervals is let go.
_STALL_INTERVALS = 3
#: The pulse is finer than the interval it keeps, so that a comment comes at most a quarter late; and a stream's own
#: interval may be shorter than the setting.
_PULSES_PER_INTERVAL = 4
_MAX_PULSE_S = 0.25
_LOADING_RETRY_S = 2.0


class ServedModel:
    """A model that requests may name.

    Attributes:
        adapter: as it was given; engine: the same, or what puts a foreign one behind a hub.
        created: Unix seconds at which the server began to serve it.
        keep_alive_s: the longest that a stream may be silent.
        metrics: its counters.
        deliveries: the open streams, by stream key.
    """

    def __init__(
        self, name: str, adapter: InferenceEngineAdapter, metrics: _core.ModelMetrics, *,
        max_queued_requests: int, max_pending_bytes: int, keep_alive_s: float,
    ) -> None:  # fmt: skip
        self.name = name
        self.adapter = adapter
        self.engine: Engine = (
            adapter
            if isinstance(adapter, TokenEngineAdapter)
            else TextEngine(adapter, metrics, max_requests=max_queued_requests, max_pending_bytes=max_pending_bytes)
        )
        self.metrics = metrics
        self.created = int(time.time())
        self.deliveries: dict[int, Delivery] = {}
        self.keep_alive_s = keep_alive_s
        self._pulse: asyncio.TimerHandle | None = None

    @property
    def hub(self) -> _core.Hub:
        return self.engine.hub

    @property
    def outlets(self) -> Outlets:
        assert self.engine.outlets is not None, "the server has been started"
        return self.engine.outlets

    @property
    def sampling_defaults(self) -> SamplingDefaults:
        return getattr(self.adapter, "sampling_defaults", SamplingDefaults())

    @property
    def max_model_len(self) -> int | None:
        """Prompt and new tokens together; None where a foreign engine does not tell."""
        if isinstance(self.engine, TokenEngineAdapter):
            return self.engine.max_model_len
        told = self.adapter.get_model_info().get("max_model_len")
        return told if isinstance(told, int) else None

    @property
    def has_chat_template(self) -> bool:
        return self.engine.prompt.has_chat_template if isinstance(self.engine, TokenEngineAdapter) else True

    def check_ids(self, ids: Sequence[int], *, param: str) -> None:
        """Raises ApiError on token ids that the model does not have; a foreign engine's are its own affair."""
        if ids and isinstance(self.engine, TokenEngineAdapter):
            self.engine.prompt.check_vocabulary(ids, param=param)

    def deliver(self, stream_key: int, request: Request, *, is_streamed: bool) -> Delivery:
        """The answer to `request`: what comes of a stream that the engine works for."""
        delivery = Delivery(
            self.engine, self.outlets, stream_key, request, is_streamed=is_streamed, on_end=self._forget
        )
        self.deliveries[stream_key] = delivery
        return delivery

    def _forget(self, stream_key: int) -> None:
        self.deliveries.pop(stream_key, None)

    def start(self) -> None:
        """Starts the engine and the pulse, on the running loop. Idempotent."""
        if isinstance(self.engine, TokenEngineAdapter):
            attach(self.engine)
        else:
            self.engine.attach()
        if self._pulse is None:
            self._beat()

    def stop(self) -> None:
        """Ends the pulse; the engine is stopped by itself, off the loop, because that may take seconds."""
        if self._pulse is not None:
            self._pulse.cancel()

    def check_ready(self) -> EngineStatus:
        """Where the engine stands. Raises ApiError "model_loading" or "engine_dead" where it takes no work."""
        status = self.engine.status()
        if status.state is EngineState.LOADING:
            progress = f": {status.detail}" if status.detail else ""
            raise ApiError("model_loading", f"The model is being loaded{progress}.", retry_after_s=_LOADING_RETRY_S)
        if status.state is not EngineState.READY:
            raise ApiError("engine_dead", "The engine of this model has failed and takes no requests.")
        return status

    def _beat(self) -> None:
        """Keeps all silent streams alive, and lets go of those that nobody reads."""
        interval_s = min(_MAX_PULSE_S, self.keep_alive_s / _PULSES_PER_INTERVAL)
        self._pulse = asyncio.get_running_loop().call_later(interval_s, self._beat)
        if self.hub.ping_idle():
            self.outlets.wake()
        for key in self.outlets.stalled(_STALL_INTERVALS * self.keep_alive_s):
            if delivery := self.deliveries.get(key):
                delivery.let_go()
