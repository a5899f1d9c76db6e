"""Engine: all that the server asks of an engine, whichever it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from penstock._core import Hub
from penstock.abilities import Abilities
from penstock.adapters.grammar_compiler import ThoughtBefore
from penstock.adapters.outlets import Outlets
from penstock.errors import ApiError
from penstock.generation import (
    EngineState,
    EngineStatus,
    GenerationRequest,
    GrammarSpec,
    Prompt,
    SamplingDefaults,
    SamplingParams,
)
from penstock.pooling import PoolingConfig
from penstock.prompt import OutputFormats
from penstock.protocol import ChatCompletionRequest, CompletionRequest, StructuredOutput
from penstock.protocol.embeddings import EmbeddingRequest, no_embeddings

PromptRequest: TypeAlias = ChatCompletionRequest | CompletionRequest


class Engine(ABC):
    """Something that turns prompts into tokens of a hub's streams.

    Attributes:
        hub: takes this engine's tokens or texts; the server opens streams in it.
        sampling_defaults: what a request gets where it says nothing.
        outlets: the loop's side of the hub, once `attach` has started the engine.
        formats: by which its model writes tool calls and thoughts.
        reads_extra: whether it reads fields of a request from `SamplingParams.extra`.
        pooling: how it makes embeddings; None: it makes none.
    """

    hub: Hub
    sampling_defaults: SamplingDefaults
    outlets: Outlets | None = None
    formats: OutputFormats = OutputFormats()
    reads_extra: bool = False
    pooling: PoolingConfig | None = None

    @property
    @abstractmethod
    def name(self) -> str:
        """For logs; the server's own name of the model may be another."""

    @property
    @abstractmethod
    def abilities(self) -> Abilities:
        """What it can do. Does not change."""

    @property
    @abstractmethod
    def max_model_len(self) -> int | None:
        """Prompt and new tokens of one sequence together; None where it does not tell."""

    @abstractmethod
    def model_info(self) -> dict[str, Any]:
        """What `GET /v1/models/{id}` tells beside the above."""

    @abstractmethod
    def count_tokens(self, content: str | list[dict[str, Any]]) -> int:
        """Tokens of a text, or of a chat as the model's template renders it. Blocks."""

    def count_prompt(self, request: ChatCompletionRequest) -> int:
        """Tokens of a chat's prompt, whether or not it fits the context. Blocks."""
        return self.count_tokens([dict(message) for message in request.messages])

    def tokenize_text(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """The ids of a text of any length. Blocks. Raises ApiError where the engine does not show them."""
        raise _shows_no_tokens()

    def tokenize_chat(self, request: ChatCompletionRequest, *, add_special_tokens: bool) -> list[int]:
        """The ids of a chat's prompt, likewise."""
        raise _shows_no_tokens()

    def detokenize(self, ids: list[int]) -> str:
        """The text of ids, special tokens included. Blocks. Raises ApiError on one that the model does not have."""
        raise _shows_no_tokens()

    def token_names(self, ids: Sequence[int]) -> list[str]:
        """How the tokenizer spells each of them."""
        raise _shows_no_tokens()

    # ---- a request

    @abstractmethod
    def is_quick(self, request: PromptRequest) -> bool:
        """Whether `read_prompts` takes so little time that it may run on the loop."""

    @abstractmethod
    def read_prompts(self, request: PromptRequest, *, tenant: str | None = None) -> tuple[Prompt, ...]:
        """Renders, encodes and counts; blocks. Raises ApiError on a prompt that this engine cannot continue.

        Args:
            tenant: who asks: what is remembered of its prompts may serve nobody else. None: nothing is remembered.
        """

    def read_inputs(self, request: EmbeddingRequest) -> tuple[Prompt, ...]:
        """The same of inputs to embed, where the engine has `pooling`."""
        raise no_embeddings()

    def unread_options(self, request: PromptRequest) -> list[str]:
        """Names of the request's fields that `read_prompts` cannot act on, for a warning."""
        return []

    @abstractmethod
    def check_ids(self, ids: Sequence[int], *, param: str) -> None:
        """Raises ApiError on token ids, at least one, that the model does not have."""

    def check_sampling(self, sampling: SamplingParams) -> None:
        """Raises ApiError "unsupported_parameter" on what this engine would not act on."""
        names = sampling.not_neutral or sampling.beyond(self.abilities)
        if names:
            problem = f"'{names[0]}' is not supported by this model."
            raise ApiError("unsupported_parameter", problem, param=names[0])

    def read_sampling(self, sampling: SamplingParams) -> SamplingParams:
        """The same in the form that this engine reads: texts in it as tokens. Blocks; called where `bad_words` are
        given. Raises ApiError on a text that has no such form."""
        return sampling

    def compile_grammar(
        self, form: StructuredOutput | None, thought: ThoughtBefore | None, *, param: str
    ) -> GrammarSpec:
        """What `GenerationRequest.grammar` is for a form, or none, after a thought that may come first. Blocks. Raises
        ApiError on a form that cannot be enforced."""
        raise ApiError("unsupported_parameter", f"'{param}' is not supported by this model.", param=param)

    def tool_grammar(self, tools: bytes, *, required: bool, name: str | None, parallel: bool, param: str) -> str:
        """The Lark grammar of an answer that calls tools, as of `_core.tool_grammar`. Raises ApiError likewise."""
        raise ApiError("unsupported_parameter", f"'{param}' is not supported by this model.", param=param)

    @abstractmethod
    def check_has_room(self) -> None:
        """Raises ApiError "server_overloaded" where `submit` would: a cheap look before a body is read."""

    @abstractmethod
    def submit(self, request: GenerationRequest) -> None:
        """Queues work; called on the event loop, never blocks. Raises ApiError "server_overloaded" when the bounded
        queue is full, "model_loading" before READY, "engine_dead" after a failure."""

    @abstractmethod
    def cancel(self, stream_key: int) -> None:
        """Stops every sequence of a stream in the engine's next step. Idempotent; an unknown key is ignored."""

    # ---- its life

    def attach(self) -> Outlets:
        """The engine's outlets on the running loop; starts the engine the first time. RuntimeError where it works for
        another loop. One that was closed, as after `asyncio.run`, is another no longer."""
        if self.outlets is None:
            self.outlets = Outlets(self.hub)
            self.start(self._wake)
        elif not self.outlets.are_of_running_loop():
            self.outlets = Outlets(self.hub)
        return self.outlets

    def _wake(self) -> None:
        if self.outlets is not None:
            self.outlets.wake()

    @abstractmethod
    def start(self, on_step: Callable[[], None]) -> None:
        """Starts the engine and returns at once. `on_step()` is called, from any thread, after each step that put
        frames into the hub, and on every change of state: it must be cheap and thread-safe."""

    @property
    def state(self) -> EngineState:
        """Of the same, what every request asks."""
        return self.status().state

    @abstractmethod
    def status(self) -> EngineStatus:
        """A snapshot, from any thread."""

    @abstractmethod
    def stop(self) -> None:
        """Ends the engine and waits for it, at most a few seconds, from any thread. Idempotent."""


def _shows_no_tokens() -> ApiError:
    return ApiError("not_implemented", "This model's engine does not show its tokens.")
