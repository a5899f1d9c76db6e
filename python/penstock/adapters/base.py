"""The seam between the server and any engine.

`InferenceEngineAdapter` is what a foreign engine implements: text in, samples out. `TokenEngineAdapter` is its
efficient half: ids go straight from the engine's thread into the hub, and the server only awaits frames.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from penstock._core import Metrics
from penstock.abilities import Abilities
from penstock.adapters.engine import Engine, PromptRequest
from penstock.adapters.sample import ReturnSample
from penstock.adapters.token_engine import generate
from penstock.adapters.token_prompts import (
    is_quick,
    read_input,
    read_token_prompts,
    template_options,
    unread_options,
)
from penstock.errors import ApiError
from penstock.generation import Prompt, SamplingDefaults, SamplingParams
from penstock.prompt import PromptEncoder, ThoughtMarkers, bad_word_ids, thought_markers
from penstock.protocol import ChatCompletionRequest
from penstock.protocol.embeddings import EmbeddingRequest

__all__ = ["InferenceEngineAdapter", "ReturnSample", "TokenEngineAdapter"]


class InferenceEngineAdapter(ABC):
    """Any engine behind the server: Penstock's own, vLLM, TGI, a fake.

    Attributes:
        abilities: what it can do beside text. The fields of a request that go with them are not refused at the door and
            come in `SamplingParams.extra`.
        sampling_defaults: what a request gets where it says nothing.
        max_running: requests that it works for at once, more wait for their turn; None: it takes all that come and
            queues them itself.
        metrics: the process's, where it was made with some: a server that is given none shows these.
    """

    abilities: Abilities = Abilities(chat=True)
    sampling_defaults: SamplingDefaults = SamplingDefaults()
    max_running: int | None = None
    metrics: Metrics | None = None

    @abstractmethod
    def generate(
        self, prompts: str | list[str], sampling_params: SamplingParams, stream: bool = False
    ) -> Awaitable[list[ReturnSample] | AsyncIterator[list[ReturnSample]]] | AsyncIterator[list[ReturnSample]]:
        """Generates for one or several prompts: an `async def` that yields lists of samples, that returns all samples
        at once, or that returns an async iterator of deltas."""

    @abstractmethod
    def count_tokens(self, content: str | list[dict[str, Any]]) -> int:
        """Tokens of a text, or of a chat as the model's template renders it."""

    @abstractmethod
    def get_model_info(self) -> dict[str, Any]:
        """What `GET /v1/models/{id}` tells: context length (`max_model_len`), architecture, sampling defaults."""

    @property
    @abstractmethod
    def model_name(self) -> str:
        """The id that clients send as `model`."""

    @property
    @abstractmethod
    def processor(self) -> Any:
        """The tokenizer or processor of the model, for callers that need it."""

    def healthy(self) -> bool:
        """Whether it can answer now. Asked at every request and probe, on the loop: it must be cheap. False makes
        /health and /ready answer 503, and requests too."""
        return True


class TokenEngineAdapter(InferenceEngineAdapter, Engine):
    """An engine that feeds token ids into a hub from its own thread.

    Attributes:
        prompt: templates and tokenizer of the model.
    """

    prompt: PromptEncoder
    max_model_len: int = 0

    async def generate(
        self, prompts: str | list[str], sampling_params: SamplingParams, stream: bool = False
    ) -> list[ReturnSample] | AsyncIterator[list[ReturnSample]]:
        """As the base says, through the hub; starts the engine at the first call and waits until it is ready."""
        return await generate(self, prompts, sampling_params, stream=stream)

    @property
    def name(self) -> str:
        return self.model_name

    @cached_property
    def abilities(self) -> Abilities:  # type: ignore[override]  # follows from the prompt's template
        return Abilities(
            chat=self.prompt.has_chat_template,
            token_prompts=True,
            token_output=True,
            tools=self.formats.tool is not None,
            reasoning=self.formats.reasoning is not None,
        )

    @property
    def processor(self) -> Any:
        return self.prompt.tokenizer

    def model_info(self) -> dict[str, Any]:
        return self.get_model_info()

    def count_tokens(self, content: str | list[dict[str, Any]]) -> int:
        return self.prompt.count(content) if isinstance(content, str) else len(self.prompt.encode_chat(content))

    def count_prompt(self, request: ChatCompletionRequest) -> int:
        return len(self.tokenize_chat(request, add_special_tokens=request.wants_special_tokens))

    def tokenize_text(self, text: str, *, add_special_tokens: bool) -> list[int]:
        return self.prompt.tokenize(text, add_special_tokens=add_special_tokens)

    def tokenize_chat(self, request: ChatCompletionRequest, *, add_special_tokens: bool) -> list[int]:
        text = self.prompt.render_chat(request.messages, **template_options(request))
        return self.prompt.tokenize(text, add_special_tokens=add_special_tokens)

    def detokenize(self, ids: list[int]) -> str:
        if not ids:
            return ""
        self.prompt.check_vocabulary(ids, param="tokens")
        return self.prompt.vocabulary.decode(ids, skip_special=False)

    def token_names(self, ids: Sequence[int]) -> list[str]:
        return [self.prompt.tokenizer.id_to_token(each) or "" for each in ids]

    def is_quick(self, request: PromptRequest) -> bool:
        return is_quick(request)

    def read_prompts(self, request: PromptRequest, *, tenant: str | None = None) -> tuple[Prompt, ...]:
        if not self.abilities.json and isinstance(request, ChatCompletionRequest) and request.has_tools:
            _check_may_choose(request)
        return read_token_prompts(self.prompt, request, self._thought_markers, tenant=tenant)

    @cached_property
    def _thought_markers(self) -> ThoughtMarkers | None:
        return thought_markers(self.formats)

    def read_inputs(self, request: EmbeddingRequest) -> tuple[Prompt, ...]:
        return tuple(Prompt.of_ids(read_input(self.prompt, each)) for each in request.inputs)

    def unread_options(self, request: PromptRequest) -> list[str]:
        if not isinstance(request, ChatCompletionRequest):
            return []
        unread = unread_options(request, self.prompt.template_variables)
        if not self.abilities.json and request.has_tools and request.tool_use.is_enforced:
            unread.append("tools.strict")
        return unread

    def read_sampling(self, sampling: SamplingParams) -> SamplingParams:
        words = bad_word_ids(self.prompt.tokenizer, sampling.bad_words)
        self.prompt.check_vocabulary([token for word in words for token in word], param="bad_words")
        return replace(sampling, bad_words=(), bad_word_ids=words)

    def check_ids(self, ids: Sequence[int], *, param: str) -> None:
        self.prompt.check_vocabulary(ids, param=param)


def _check_may_choose(request: ChatCompletionRequest) -> None:
    if request.tool_use.is_required:
        problem = "'tool_choice' cannot require a call of this model."
        raise ApiError("unsupported_parameter", problem, param="tool_choice")
