"""PromptEncoder: texts and chats in, token ids out, never more than the model's context."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from penstock._core import Vocabulary
from penstock.errors import ApiError
from penstock.prompt.chat_template import ChatTemplate, Message
from penstock.prompt.length import check_prompt_length, context_length_exceeded
from penstock.prompt.tokenizer import FolderTokenizer

#: A text with more characters than this per token of context is counted from its head first: most text has about
#: four, so the head alone usually shows that it is too long.
_HEAD_CHARS_PER_TOKEN = 8


class PromptEncoder:
    """A model's tokenizer and chat template. Thread-safe and blocking: call it off the event loop.

    Attributes:
        max_model_len: tokens of the context; a prompt must be shorter. None: not known yet, no limit.
        vocab_size: ids of prompts are below it. Tokenizers may have added tokens that their model knows nothing of.
    """

    def __init__(
        self,
        tokenizer: FolderTokenizer,
        template: ChatTemplate | None,
        *,
        max_model_len: int | None = None,
        vocab_size: int | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._template = template
        self.max_model_len = max_model_len
        self.vocab_size = min(vocab_size or len(tokenizer.vocabulary), len(tokenizer.vocabulary))

    @classmethod
    def load(cls, folder: Path, *, max_model_len: int | None = None, vocab_size: int | None = None) -> PromptEncoder:
        """Raises ModelError, one sentence, on a missing or broken tokenizer or template.

        Args:
            vocab_size: of the model; None: as large as the tokenizer's.
        """
        tokenizer = FolderTokenizer.load(folder)
        template = ChatTemplate.load(folder, tokenizer.config, special_tokens=tokenizer.special_tokens)
        return cls(tokenizer, template, max_model_len=max_model_len, vocab_size=vocab_size)

    @property
    def tokenizer(self) -> Tokenizer:
        return self._tokenizer.tokenizer

    @property
    def vocabulary(self) -> Vocabulary:
        return self._tokenizer.vocabulary

    @property
    def has_chat_template(self) -> bool:
        return self._template is not None

    @property
    def takes_tools(self) -> bool:
        """Whether its chat template tells the model which tools there are."""
        return self._template is not None and self._template.takes_tools

    @property
    def template_source(self) -> str:
        """All chat templates' text; "" without one."""
        return "" if self._template is None else self._template.source

    @property
    def template_variables(self) -> frozenset[str]:
        """The names that its chat template reads."""
        return frozenset() if self._template is None else self._template.variables

    def encode_text(
        self, text: str, *,
        add_special_tokens: bool = True, num_last: int | None = None, tenant: str | None = None, param: str = "prompt",
        num_new: int = 1,
    ) -> list[int]:  # fmt: skip
        """The ids of a text prompt; of an empty one the start token.

        Args:
            add_special_tokens: with those that the tokenizer adds.
            num_last: only so many of its last tokens, at least 1; None: all.
            tenant: as of `read_chat`.
            num_new: tokens of answer that it must leave room for: 1, or 0.

        Raises:
            ApiError: context_length_exceeded, or no token at all.
        """
        return self._encode(
            text, add_special_tokens=add_special_tokens, num_last=num_last, tenant=tenant, param=param, num_new=num_new
        )

    def encode_chat(self, messages: Sequence[Message], **options: Any) -> list[int]:
        """The ids of a chat, as `read_chat`."""
        return self.read_chat(messages, **options)[1]

    def read_chat(
        self,
        messages: Sequence[Message],
        *,
        add_special_tokens: bool = False,
        num_last: int | None = None,
        tenant: str | None = None,
        **options: Any,
    ) -> tuple[str, list[int]]:
        """The text of a chat, and its ids.

        Args:
            options: of `render_chat`.
            add_special_tokens: with those that the tokenizer adds; the template has most often written them.
            num_last: the ids of only so many of its last tokens, at least 1; None: of all.
            tenant: who asks. Its texts are remembered, so that they are encoded once, and for nobody else: the time
                that a prompt takes must not tell what others have sent. None: nothing is remembered.

        Raises:
            ApiError: no template, the template refuses the messages, or context_length_exceeded.
        """
        limit = self.max_model_len
        if limit is not None and num_last is None and len(messages) > limit:  # each is a token or more
            raise context_length_exceeded(len(messages), limit, param="messages", at_least=True)
        text = self.render_chat(messages, **options)
        ids = self._encode(
            text, add_special_tokens=add_special_tokens, num_last=num_last, tenant=tenant, param="messages"
        )
        return text, ids

    def render_chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        template_kwargs: Mapping[str, Any] | None = None,
    ) -> str:
        """The text of a chat, as `ChatTemplate.render`."""
        if self._template is None:
            raise ApiError(
                "invalid_request",
                "This model has no chat template, so it cannot chat; use /v1/completions.",
                param="messages",
            )
        return self._template.render(
            messages,
            tools=tools,
            documents=documents,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=continue_final_message,
            template_kwargs=template_kwargs,
        )

    def tokenize(self, text: str, *, add_special_tokens: bool) -> list[int]:
        """The ids of a text of any length."""
        return self._tokenizer.encode(text, add_special_tokens=add_special_tokens)

    def count(self, text: str) -> int:
        """Tokens of a text, special tokens not added; of any length."""
        return len(self._tokenizer.encode(text, add_special_tokens=False))

    def _encode(
        self, text: str, *,
        add_special_tokens: bool, num_last: int | None, tenant: str | None, param: str, num_new: int = 1,
    ) -> list[int]:  # fmt: skip
        if num_last is not None:
            ids = self._tokenizer.encode_last(text, num_last, add_special_tokens=add_special_tokens)
        else:
            if self.max_model_len is not None:
                self._refuse_oversize(text, self.max_model_len, param=param, num_new=num_new)
            ids = self._tokenizer.encode(text, add_special_tokens=add_special_tokens, tenant=tenant)
        if not text and not ids:
            ids = self._tokenizer.start_ids
        check_prompt_length(ids, self.max_model_len, param=param, num_new=num_new)
        if self.vocab_size < len(self.vocabulary):  # else the model knows all that the tokenizer gives
            self.check_vocabulary(ids, param=param)
        return ids

    def check_ids(self, ids: Sequence[int], *, param: str = "prompt", num_new: int = 1) -> None:
        """Refuses a prompt that is empty, too long for the context, or holds an id that the model does not know.
        `num_new` as of `encode_text`."""
        check_prompt_length(ids, self.max_model_len, param=param, num_new=num_new)
        self.check_vocabulary(ids, param=param)

    def check_vocabulary(self, ids: Sequence[int], *, param: str) -> None:
        """Refuses ids, at least one, that the model does not know."""
        if (largest := max(ids)) >= self.vocab_size:
            token = self.tokenizer.id_to_token(largest)
            name = f" ('{token}')" if token is not None else ""
            raise ApiError(
                "invalid_value",
                f"'{param}' holds the token {largest}{name}; the model's go from 0 to {self.vocab_size - 1}.",
                param=param,
            )

    def _refuse_oversize(self, text: str, max_model_len: int, *, param: str, num_new: int) -> None:
        """Refuses a text that cannot fit without encoding it whole: by its bytes, then by ever longer heads of it."""
        num_tokens = len(text) // self._tokenizer.longest_token_bytes
        if num_tokens > max_model_len:
            raise context_length_exceeded(num_tokens, max_model_len, param=param, num_new=num_new, at_least=True)
        num_chars = _HEAD_CHARS_PER_TOKEN * max_model_len
        while num_chars < len(text):
            num_tokens = self.count(text[:num_chars])
            if num_tokens > max_model_len:
                raise context_length_exceeded(num_tokens, max_model_len, param=param, num_new=num_new, at_least=True)
            num_chars *= 2
