"""The JAX engine as the server sees it. Importing this imports no jax: that happens on the engine's own thread."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from penstock._core import Hub, Metrics, ModelMetrics
from penstock.abilities import Abilities
from penstock.adapters.scheduled_engine import ScheduledEngine
from penstock.checkpoint import Checkpoint, inspect_checkpoint, model_name
from penstock.config import Settings, load_settings
from penstock.engine.interface import EngineOptions
from penstock.errors import ApiError, ConfigError
from penstock.generation import SamplingParams
from penstock.prompt import PromptEncoder, choose_formats
from penstock.scheduler.scheduler import Scheduler

if TYPE_CHECKING:
    from penstock.engine.runner import JaxRunner

log = logging.getLogger("penstock.engine")


class JaxEngine(ScheduledEngine):
    """A checkpoint served by JAX in this process, on a thread of its own.

    `max_model_len` is what settings and model say until the engine is loaded, and what its memory holds from then on.
    """

    def __init__(  # noqa: PLR0917 - as the other adapters, whose order the launcher shares
        self,
        settings: Settings,
        checkpoint: Checkpoint,
        prompt: PromptEncoder,
        hub: Hub,
        metrics: ModelMetrics,
        model_name: str,
    ) -> None:
        super().__init__(prompt, hub, metrics, model_name)
        self.formats = choose_formats(prompt, tool=settings.tool_format, reasoning=settings.reasoning_format)
        self.sampling_defaults = checkpoint.sampling_defaults
        self.max_model_len = min(
            settings.max_model_len or checkpoint.max_position_embeddings, checkpoint.max_position_embeddings
        )
        self.stop_ids, self.num_logits = checkpoint.stop_ids, checkpoint.vocab_size
        self.pooling = checkpoint.pooling
        self._settings = settings
        self._checkpoint = checkpoint
        self._runner: JaxRunner | None = None
        self._num_compiles_counted = 0

    @cached_property
    def abilities(self) -> Abilities:  # type: ignore[override]  # as the base has it
        base = super().abilities
        chat = base.chat and self._checkpoint.has_head
        return replace(base, chat=chat, logprobs=True, penalties=True, logit_bias=True, embeddings=True)

    def check_sampling(self, sampling: SamplingParams) -> None:
        if not self._checkpoint.has_head:
            problem = "This model has no output head: it makes embeddings alone; use /v1/embeddings."
            raise ApiError("invalid_request", problem, param="model")
        super().check_sampling(sampling)

    @classmethod
    def load(cls, folder: str | Path, *, metrics: Metrics | None = None, **settings: Any) -> Self:
        """An engine for the model in `folder`, or of that GGUF file, for `PenstockServer(settings, {name: engine})` or
        its own `generate`.

        Checks the folder and returns; weights and programs are loaded when the server or the first `generate` starts
        it.

        Args:
            metrics: the server's, where it is given some; a server that is given none shows the engine's.
            settings: as of `penstock serve`, with underscores: `max_num_seqs=8`. `model_name` is the id of the model,
                by default the folder's name, or the file's stem.

        Raises:
            ModelError: the folder cannot be served.
            ConfigError: a setting that there is not, or whose value does not fit.
        """
        if unknown := sorted(settings.keys() - Settings.model_fields.keys()):
            raise ConfigError(f"JaxEngine.load: there is no setting '{unknown[0]}'.")
        chosen = load_settings({"model": folder, **settings}, {})
        checkpoint = inspect_checkpoint(Path(folder))
        limit = checkpoint.max_position_embeddings
        if chosen.max_model_len is not None and chosen.max_model_len > limit:
            raise ConfigError(f"max_model_len {chosen.max_model_len} should be at most {limit}, the model's own limit.")
        name = chosen.model_name or model_name(Path(folder))
        prompt = PromptEncoder.load(Path(folder), vocab_size=checkpoint.vocab_size)
        process = Metrics() if metrics is None else metrics
        counters = process.model(name, max_model_len=chosen.max_model_len or limit)
        hub = Hub(prompt.vocabulary, counters, max_pending_bytes=chosen.max_pending_bytes)
        engine = cls(chosen, checkpoint, prompt, hub, counters, name)
        engine.metrics = process
        return engine

    def start(self, on_step: Callable[[], None]) -> None:
        def count_and_wake() -> None:
            self._count_compiles()
            on_step()

        super().start(count_and_wake)

    def get_model_info(self) -> dict[str, Any]:
        defaults, runner = self.sampling_defaults, self._runner
        capacity = runner.capacity if runner is not None else None
        return {
            "name": self._model_name,
            "architecture": self._checkpoint.architecture,
            "tensor_parallel_size": self._settings.tensor_parallel_size,
            "dtype": runner.dtype if runner is not None else self._settings.dtype,
            "weight_dtype": runner.weight_dtype if runner is not None else self._settings.weight_dtype,
            "vocab_size": self.prompt.vocab_size,
            "max_model_len": self.max_model_len,
            "max_num_seqs": capacity.num_slots if capacity is not None else self._settings.max_num_seqs,
            "num_pages": sum(capacity.num_pages) if capacity is not None else None,
            "page_size": capacity.page_size if capacity is not None else None,
            "embeddings": asdict(self._checkpoint.pooling),
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
        from penstock.engine.runner import JaxRunner

        runner = JaxRunner.load(self._checkpoint, self._options(), on_progress=on_progress)
        capacity = runner.capacity
        self._counters.set("penstock_num_pages", sum(capacity.num_pages))
        self._counters.set("penstock_page_size_tokens", capacity.page_size)
        self.max_model_len = self.prompt.max_model_len = capacity.max_model_len
        self._runner, self._num_pages = runner, sum(capacity.num_pages)
        return Scheduler(
            runner,
            self.hub,
            stop_ids=self.stop_ids,
            max_queued_requests=self._settings.max_queued_requests,
            num_grammar_threads=self._settings.grammar_threads,
            prefix_caching=self._settings.prefix_caching == "on",
        )

    def _options(self) -> EngineOptions:
        settings = self._settings
        return EngineOptions(
            dtype=settings.dtype,
            weight_dtype=settings.weight_dtype,
            kv_cache_dtype=None if settings.kv_cache_dtype == "auto" else settings.kv_cache_dtype,
            max_model_len=settings.max_model_len,
            max_num_seqs=settings.max_num_seqs,
            kv_cache_memory=settings.kv_cache_memory,
            max_prefill_tokens=settings.max_prefill_tokens,
            max_prefill_tokens_beside=settings.max_prefill_tokens_beside,
            tokens_per_dispatch=settings.tokens_per_dispatch,
            pipeline_depth=settings.pipeline_depth,
            compile_cache=settings.compile_cache,
            tensor_parallel_size=settings.tensor_parallel_size,
            cpu_kernels=settings.cpu_kernels == "on",
            cpu_isa=settings.cpu_isa,
        )

    def _count_compiles(self) -> None:
        if self._runner is not None and self._runner.num_compiles_after_ready > self._num_compiles_counted:
            new = self._runner.num_compiles_after_ready - self._num_compiles_counted
            self._num_compiles_counted += new
            self._counters.add("penstock_compiles_after_ready_total", new)
            log.warning("%d programs were compiled after ready: the closed set of shapes has a hole", new)
