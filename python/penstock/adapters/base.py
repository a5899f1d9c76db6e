"""The seam between the server and any engine.

`InferenceEngineAdapter` is what a foreign engine implements: text in, samples out. `TokenEngineAdapter` is its
efficient half: ids go straight from the engine's thread into the hub, and the server only awaits frames.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock._core import Hub
    from penstock.adapters.outlets import Outlets
    from penstock.generation import EngineStatus, GenerationRequest, SamplingDefaults, SamplingParams
    from penstock.prompt import PromptEncoder


@dataclass(frozen=True, slots=True)
class ReturnSample:
    """One choice as an adapter hands it over: a delta when streamed, the whole text when not.

    Attributes:
        index: prompt index times n plus choice index.
        text: new text since the last sample of this index (streamed) or all of it.
        num_tokens: new tokens since the last sample (streamed) or all of them.
        finish_reason: "stop", "length" or None while it goes on.
    """

    index: int
    text: str
    num_tokens: int
    finish_reason: str | None = None


class InferenceEngineAdapter(ABC):
    """Any engine behind the server: Penstock's own, vLLM, TGI, a fake."""

    @abstractmethod
    async def generate(
        self, prompts: str | list[str], sampling_params: SamplingParams, stream: bool = False
    ) -> list[ReturnSample] | AsyncIterator[list[ReturnSample]]:
        """Generates for one or several prompts: all samples at once, or an async iterator of deltas."""

    @abstractmethod
    def count_tokens(self, content: str | list[dict[str, Any]]) -> int:
        """Tokens of a text, or of a chat as the model's template renders it."""

    @abstractmethod
    def get_model_info(self) -> dict[str, Any]:
        """What `GET /v1/models/{id}` tells: context length, architecture, capabilities, sampling defaults."""

    @property
    @abstractmethod
    def model_name(self) -> str:
        """The id that clients send as `model`."""

    @property
    @abstractmethod
    def processor(self) -> Any:
        """The tokenizer or processor of the model, for callers that need it."""


class TokenEngineAdapter(InferenceEngineAdapter):
    """An engine that feeds token ids into a hub from its own thread.

    Attributes:
        hub: takes this engine's tokens; the server opens streams in it.
        prompt: templates and tokenizer of the model.
        max_model_len: prompt and new tokens of one sequence together.
        sampling_defaults: what a request gets where it says nothing.
        outlets: the loop's side of the hub, once `outlets.attach` has started the engine.
    """

    hub: Hub
    prompt: PromptEncoder
    max_model_len: int
    sampling_defaults: SamplingDefaults
    outlets: Outlets | None = None

    async def generate(
        self, prompts: str | list[str], sampling_params: SamplingParams, stream: bool = False
    ) -> list[ReturnSample] | AsyncIterator[list[ReturnSample]]:
        """As the base says, through the hub; starts the engine at the first call and waits until it is ready."""
        from penstock.adapters.token_engine import generate

        return await generate(self, prompts, sampling_params, stream=stream)

    def count_tokens(self, content: str | list[dict[str, Any]]) -> int:
        return self.prompt.count(content) if isinstance(content, str) else len(self.prompt.encode_chat(content))

    @property
    def processor(self) -> Any:
        return self.prompt.tokenizer

    def note_taken(self) -> None:
        """Frames left the hub: called on the loop, must be cheap. For engines that wait for room."""

    @abstractmethod
    def start(self, on_step: Any) -> None:
        """Starts the engine's thread and returns at once. `on_step()` is called on that thread after each step that
        put frames into the hub, and on every change of state: it must be cheap and thread-safe."""

    @abstractmethod
    def submit(self, request: GenerationRequest) -> None:
        """Queues work; called on the event loop, never blocks. Raises ApiError "server_overloaded" when the bounded
        queue is full, "model_loading" before READY, "engine_error" after a failure."""

    def check_has_room(self) -> None:
        """Raises ApiError "server_overloaded" where `submit` would. Cheap: asked before a request's body is read."""

    @abstractmethod
    def cancel(self, stream_key: int) -> None:
        """Stops every sequence of a stream in the engine's next step. Idempotent; an unknown key is ignored."""

    @abstractmethod
    def status(self) -> EngineStatus:
        """A snapshot, from any thread."""

    @abstractmethod
    def stop(self) -> None:
        """Ends the engine's thread and waits for it, at most a few seconds. Idempotent."""
