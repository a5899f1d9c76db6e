"""One model of a server: its engine, its hub's outlets, and what all of its streams share."""

from __future__ import annotations

import asyncio
import hashlib
import time
from functools import cached_property

from penstock import _core
from penstock.adapters.engine import Engine
from penstock.adapters.outlets import Outlets
from penstock.delivery.delivery import Delivery
from penstock.errors import ApiError
from penstock.generation import EngineState
from penstock.http.request import Request
from penstock.protocol import fields_of

#: A stream whose reader took nothing for so many keep-alive intervals is let go.
_STALL_INTERVALS = 3
#: The pulse is finer than the interval it keeps, so that a comment comes at most a quarter late; and a stream's own
#: interval may be shorter than the setting.
_PULSES_PER_INTERVAL = 4
_MAX_PULSE_S = 0.25
_LOADING_RETRY_S = 2.0
_READY = EngineState.READY
_REJECTIONS = 'vllm:admission_rejections_total{reason="max_num_queued_reqs"}'


class ServedModel:
    """A model that requests may name.

    Attributes:
        engine_reads: the fields of a request that the engine acts on, beyond those that every engine does.
        extra_fields: those of them that it finds in `SamplingParams.extra`.
        created: Unix seconds at which the server began to serve it.
        keep_alive_s: the longest that a stream may be silent.
        metrics: its counters.
        deliveries: the open streams, by stream key.
    """

    def __init__(self, name: str, engine: Engine, metrics: _core.ModelMetrics, *, keep_alive_s: float) -> None:
        self.name = name
        self.engine = engine
        self.engine_reads = fields_of(engine.abilities)
        self.extra_fields = self.engine_reads if engine.reads_extra else frozenset()
        self.metrics = metrics
        self.created = int(time.time())
        self.deliveries: dict[int, Delivery] = {}
        self.keep_alive_s = keep_alive_s
        self._pulse: asyncio.TimerHandle | None = None

    @cached_property
    def system_fingerprint(self) -> str:
        """Of what answers: the same for the same version, model and dtypes. To be asked once the engine is ready."""
        info = self.engine.model_info()
        told = [str(info.get(name)) for name in ("architecture", "dtype", "weight_dtype")]
        parts = [_core.__version__, self.engine.name, *told]
        return "fp_" + hashlib.blake2s("\0".join(parts).encode(), digest_size=6).hexdigest()

    @property
    def hub(self) -> _core.Hub:
        return self.engine.hub

    @property
    def outlets(self) -> Outlets:
        assert self.engine.outlets is not None, "the server has been started"
        return self.engine.outlets

    def deliver(self, stream_key: int, request: Request, *, response_id: str, is_streamed: bool) -> Delivery:
        """The answer to `request`: what comes of a stream that the engine works for."""
        delivery = Delivery(
            self.engine, self.outlets, stream_key, request,
            response_id=response_id, is_streamed=is_streamed, on_end=self._forget,
        )  # fmt: skip
        self.deliveries[stream_key] = delivery
        return delivery

    def _forget(self, stream_key: int) -> None:
        self.deliveries.pop(stream_key, None)

    def start(self) -> None:
        """Starts the engine and the pulse, on the running loop. Idempotent."""
        self.engine.attach()
        if self._pulse is None:
            self._beat()

    def stop(self) -> None:
        """Ends the pulse; the engine is stopped by itself, off the loop, because that may take seconds."""
        if self._pulse is not None:
            self._pulse.cancel()

    def check_ready(self) -> None:
        """Raises ApiError "model_loading" or "engine_dead" where the engine takes no work."""
        if self.engine.state is _READY:
            return
        status = self.engine.status()
        if status.state is EngineState.LOADING:
            progress = f": {status.detail}" if status.detail else ""
            raise ApiError("model_loading", f"The model is being loaded{progress}.", retry_after_s=_LOADING_RETRY_S)
        if status.state is not EngineState.READY:
            raise ApiError("engine_dead", "The engine of this model has failed and takes no requests.")

    def count_rejection(self, error: ApiError) -> None:
        """Counts a request that was refused for want of room."""
        if error.kind == "server_overloaded":
            self.metrics.add(_REJECTIONS)

    def _beat(self) -> None:
        """Keeps all silent streams alive, and lets go of those that nobody reads."""
        interval_s = min(_MAX_PULSE_S, self.keep_alive_s / _PULSES_PER_INTERVAL)
        self._pulse = asyncio.get_running_loop().call_later(interval_s, self._beat)
        if self.hub.ping_idle():
            self.outlets.wake()
        for key in self.outlets.stalled(_STALL_INTERVALS * self.keep_alive_s):
            if delivery := self.deliveries.get(key):
                delivery.let_go()
