"""An engine in this process: a scheduler over a runner, on a thread of its own. Which runner, a subclass says."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

from penstock._core import Hub, ModelMetrics, tool_grammar
from penstock.abilities import Abilities
from penstock.adapters.base import TokenEngineAdapter
from penstock.adapters.engine import PromptRequest
from penstock.adapters.engine_thread import FAILED, EngineThread
from penstock.adapters.grammar_compiler import GrammarCompiler, ThoughtBefore
from penstock.errors import ApiError
from penstock.generation import EngineState, EngineStatus, GenerationRequest, GrammarSpec, Prompt
from penstock.prompt import PromptEncoder
from penstock.protocol import StructuredOutput
from penstock.protocol.embeddings import EmbeddingRequest
from penstock.scheduler.scheduler import Scheduler

_READY = EngineState.READY


class ScheduledEngine(TokenEngineAdapter):
    """See the module.

    Args:
        metrics: of its model.

    Attributes:
        stop_ids: the model's own stop tokens.
        num_logits: of the model: as many as its tokenizer has tokens, or more.
    """

    stop_ids: tuple[int, ...] = ()
    num_logits: int | None = None

    def __init__(self, prompt: PromptEncoder, hub: Hub, metrics: ModelMetrics, model_name: str) -> None:
        self.hub = hub
        self.prompt = prompt
        self._counters = metrics
        self._model_name = model_name
        self._num_pages = 0
        self._thread = EngineThread(self._load)

    @property
    def model_name(self) -> str:
        return self._model_name

    @cached_property
    def abilities(self) -> Abilities:  # type: ignore[override]  # as of the base
        return replace(super().abilities, json=True, scheduling=True)

    @cached_property
    def _grammars(self) -> GrammarCompiler:
        num_logits = self.prompt.vocab_size if self.num_logits is None else self.num_logits
        return GrammarCompiler(self.prompt.vocabulary, num_logits=num_logits, stop_ids=self.stop_ids)

    def compile_grammar(
        self, form: StructuredOutput | None, thought: ThoughtBefore | None, *, param: str
    ) -> GrammarSpec:
        return self._grammars.compile(form, thought, param=param)

    def tool_grammar(self, tools: bytes, *, required: bool, name: str | None, parallel: bool, param: str) -> str:
        assert self.formats.tool is not None, "asked of a model that calls tools"
        try:
            return tool_grammar(
                self.formats.tool, tools,
                vocabulary=self.prompt.vocabulary, required=required, name=name, parallel=parallel,
            )  # fmt: skip
        except ValueError as error:
            raise ApiError("invalid_value", f"'{param}' cannot be enforced: {error}.", param=param) from None

    @abstractmethod
    def _load(self, on_progress: Callable[[str], None]) -> Scheduler:
        """Makes the scheduler, on the engine's thread; `on_progress` takes its progress in words."""

    def start(self, on_step: Callable[[], None]) -> None:
        self._thread.start(on_step)

    def stop(self) -> None:
        self._thread.stop()

    def submit(self, request: GenerationRequest) -> None:
        state, scheduler = self._thread.state, self._thread.scheduler
        if state is _READY and scheduler is not None:
            scheduler.submit(request)
        elif state is EngineState.LOADING:
            raise ApiError("model_loading", f"The model is loading: {self._thread.detail or 'just begun'}.")
        else:
            raise ApiError("engine_dead", FAILED if state is EngineState.ERROR else "The engine has stopped.")

    def read_prompts(self, request: PromptRequest, *, tenant: str | None = None) -> tuple[Prompt, ...]:
        return self._with_page_names(super().read_prompts(request, tenant=tenant), request.cache_salt or "")

    def read_inputs(self, request: EmbeddingRequest) -> tuple[Prompt, ...]:
        return self._with_page_names(super().read_inputs(request), "")

    def _with_page_names(self, prompts: tuple[Prompt, ...], salt: str) -> tuple[Prompt, ...]:
        """`submit` would make them on the loop, which long prompts are not to keep."""
        if self._thread.scheduler is not None:
            for prompt in prompts:
                self._thread.scheduler.cache.names_of(prompt, salt)
        return prompts

    def check_has_room(self) -> None:
        if self._thread.scheduler is not None:
            self._thread.scheduler.queue.check_has_room()

    def cancel(self, stream_key: int) -> None:
        if self._thread.scheduler is not None:
            self._thread.scheduler.cancel(stream_key)

    @property
    def state(self) -> EngineState:
        return self._thread.state

    def status(self) -> EngineStatus:
        scheduler = self._thread.scheduler
        num_running, num_waiting, num_pages_in_use = scheduler.gauges if scheduler is not None else (0, 0, 0)
        return EngineStatus(
            state=self.state,
            detail=self._thread.detail,
            num_running=num_running,
            num_waiting=num_waiting,
            num_pages_in_use=num_pages_in_use,
            num_pages=self._num_pages,
            heartbeat_age_s=self._thread.heartbeat_age_s,
        )
