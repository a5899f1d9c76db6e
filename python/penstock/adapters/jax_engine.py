"""The JAX engine as the server sees it. Importing this imports no jax: that happens on the engine's own thread."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from penstock.adapters.base import TokenEngineAdapter
from penstock.adapters.engine_thread import FAILED, EngineThread
from penstock.engine.interface import EngineOptions
from penstock.errors import ApiError
from penstock.generation import EngineState, EngineStatus, GenerationRequest
from penstock.scheduler.step import Scheduler

if TYPE_CHECKING:
    from penstock._core import Hub, Metrics
    from penstock.checkpoint import Checkpoint
    from penstock.config import Settings
    from penstock.engine.runner import Runner
    from penstock.prompt import PromptEncoder

log = logging.getLogger("penstock.engine")


class JaxEngine(TokenEngineAdapter):
    """A checkpoint served by JAX in this process, on a thread of its own.

    `max_model_len` is what settings and model say until the engine is loaded, and what its memory holds from then on.
    """

    def __init__(  # noqa: PLR0917 - as the other adapters, whose order the launcher shares
        self,
        settings: Settings,
        checkpoint: Checkpoint,
        prompt: PromptEncoder,
        hub: Hub,
        metrics: Metrics,
        model_name: str,
    ) -> None:
        self.hub = hub
        self.prompt = prompt
        self.sampling_defaults = checkpoint.sampling_defaults
        self.max_model_len = min(
            settings.max_model_len or checkpoint.max_position_embeddings, checkpoint.max_position_embeddings
        )
        self._settings = settings
        self._checkpoint = checkpoint
        self._metrics = metrics
        self._model_name = model_name
        self._runner: Runner | None = None
        self._num_compiles_counted = 0
        self._thread = EngineThread(self._load)

    @property
    def model_name(self) -> str:
        return self._model_name

    def start(self, on_step: Callable[[], None]) -> None:
        def count_and_wake() -> None:
            self._count_compiles()
            on_step()

        self._thread.start(count_and_wake)

    def stop(self) -> None:
        self._thread.stop()

    def submit(self, request: GenerationRequest) -> None:
        state, scheduler = self._thread.state, self._thread.scheduler
        if state is EngineState.READY and scheduler is not None:
            scheduler.submit(request)
        elif state is EngineState.LOADING:
            raise ApiError("model_loading", f"The model is loading: {self._thread.detail or 'just begun'}.")
        else:
            raise ApiError("engine_dead", FAILED if state is EngineState.ERROR else "The engine has stopped.")

    def check_has_room(self) -> None:
        if self._thread.scheduler is not None:
            self._thread.scheduler.queue.check_has_room()

    def cancel(self, stream_key: int) -> None:
        if self._thread.scheduler is not None:
            self._thread.scheduler.cancel(stream_key)

    def status(self) -> EngineStatus:
        scheduler, runner = self._thread.scheduler, self._runner
        num_running, num_waiting, num_pages_in_use = scheduler.gauges if scheduler is not None else (0, 0, 0)
        return EngineStatus(
            state=self._thread.state,
            detail=self._thread.detail,
            num_running=num_running,
            num_waiting=num_waiting,
            num_pages_in_use=num_pages_in_use,
            num_pages=runner.capacity.num_pages if runner is not None else 0,
            heartbeat_age_s=self._thread.heartbeat_age_s,
        )

    def get_model_info(self) -> dict[str, Any]:
        defaults, runner = self.sampling_defaults, self._runner
        capacity = runner.capacity if runner is not None else None
        return {
            "name": self._model_name,
            "architecture": self._checkpoint.architecture,
            "dtype": runner.dtype if runner is not None else self._settings.dtype,
            "vocab_size": self.prompt.vocab_size,
            "max_model_len": self.max_model_len,
            "max_num_seqs": capacity.num_slots if capacity is not None else self._settings.max_num_seqs,
            "num_pages": capacity.num_pages if capacity is not None else None,
            "page_size": capacity.page_size if capacity is not None else None,
            "sampling_defaults": {
                "temperature": defaults.temperature,
                "top_p": defaults.top_p,
                "top_k": defaults.top_k,
                "min_p": defaults.min_p,
                "source": defaults.source,
            },
        }

    # ---- the engine's thread

    def _load(self, on_progress: Callable[[str], None]) -> Scheduler:
        from penstock.engine.runner import Runner

        runner = Runner.load(self._checkpoint, self._options(), on_progress=on_progress)
        capacity = runner.capacity
        self._metrics.set("penstock_num_pages", capacity.num_pages)
        self._metrics.set("penstock_page_size_tokens", capacity.page_size)
        self.max_model_len = self.prompt.max_model_len = capacity.max_model_len
        self._runner = runner
        return Scheduler(
            runner,
            self.hub,
            stop_ids=self._checkpoint.stop_ids,
            max_queued_requests=self._settings.max_queued_requests,
        )

    def _options(self) -> EngineOptions:
        settings = self._settings
        return EngineOptions(
            dtype=settings.dtype,
            max_model_len=settings.max_model_len,
            max_num_seqs=settings.max_num_seqs,
            kv_cache_memory=settings.kv_cache_memory,
            max_prefill_tokens=settings.max_prefill_tokens,
            tokens_per_dispatch=settings.tokens_per_dispatch,
            pipeline_depth=settings.pipeline_depth,
            compile_cache=settings.compile_cache,
        )

    def _count_compiles(self) -> None:
        if self._runner is not None and self._runner.num_compiles_after_ready > self._num_compiles_counted:
            new = self._runner.num_compiles_after_ready - self._num_compiles_counted
            self._num_compiles_counted += new
            self._metrics.add("penstock_compiles_after_ready_total", new)
            log.warning("%d programs were compiled after ready: the closed set of shapes has a hole", new)
