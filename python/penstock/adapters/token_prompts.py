"""From a checked request to token ids: the prompts of engines that read ids."""

from __future__ import annotations

from typing import Any

from penstock.errors import ApiError
from penstock.generation import Prompt
from penstock.prompt import PromptEncoder, ThoughtMarkers
from penstock.protocol import ChatCompletionRequest, CompletionRequest
from penstock.protocol.chat import TEMPLATE_FIELDS

#: Below this, rendering and encoding take less (some 0.1 ms) than handing them to a thread and back does when many
#: threads want the interpreter. Twice as much was tried: the streams under way waited for it, with gaps of 110 to 180
#: ms in place of 80 while 256 prompts of 566 characters came at once, and no CPU was saved.
_QUICK_CHARS = 512
#: What a message costs beside its content, and its keys when it is nothing but a role and a content.
_MESSAGE_CHARS = 16
_PLAIN_MESSAGE_KEYS = 2


def is_quick(request: ChatCompletionRequest | CompletionRequest) -> bool:
    """Whether it is plain text, and so little that reading it does not keep the loop."""
    if isinstance(request, CompletionRequest):
        return isinstance(request.prompt, str) and len(request.prompt) < _QUICK_CHARS
    has_more = not TEMPLATE_FIELDS.isdisjoint(request.__pydantic_fields_set__)
    if has_more and (request.documents or request.chat_template_kwargs or request.tools or request.functions):
        return False
    num_chars = 0
    for message in request.messages:
        content = message.get("content")
        if not isinstance(content, str) or len(message) != _PLAIN_MESSAGE_KEYS:
            return False
        num_chars += _MESSAGE_CHARS + len(content)
    return num_chars < _QUICK_CHARS


def read_token_prompts(
    encoder: PromptEncoder,
    request: ChatCompletionRequest | CompletionRequest,
    markers: ThoughtMarkers | None = None,
    *,
    tenant: str | None = None,
) -> tuple[Prompt, ...]:
    """Renders and encodes. Blocks. Raises ApiError as `PromptEncoder` does.

    Args:
        markers: between which the model thinks.
        tenant: who asks, as of `PromptEncoder.read_chat`.
    """
    num_last = _num_last(encoder, request)
    if isinstance(request, ChatCompletionRequest):
        return (_read_chat(encoder, request, markers, num_last, tenant),)
    return tuple(_read_text(encoder, prompt, request, num_last, tenant) for prompt in request.prompts)


def _read_text(
    encoder: PromptEncoder, prompt: str | list[int], request: CompletionRequest, num_last: int | None,
    tenant: str | None,
) -> Prompt:  # fmt: skip
    """A prompt that is to be shown again is kept as it was written, unless it was cut."""
    ids = _encode(encoder, prompt, request, num_last, tenant)
    is_whole = num_last is None or len(ids) < num_last
    text = prompt if request.is_echoed and is_whole and isinstance(prompt, str) else None
    return Prompt(len(ids), ids=ids, text=text)


def _read_chat(
    encoder: PromptEncoder, request: ChatCompletionRequest, markers: ThoughtMarkers | None, num_last: int | None,
    tenant: str | None,
) -> Prompt:  # fmt: skip
    options = {} if TEMPLATE_FIELDS.isdisjoint(request.__pydantic_fields_set__) else template_options(request)
    if "tools" in options and not encoder.takes_tools:
        problem = "'tools' cannot be used: this model's chat template has no place for them."
        raise ApiError("unsupported_parameter", problem, param="tools")
    text, ids = encoder.read_chat(
        request.messages, add_special_tokens=request.wants_special_tokens, num_last=num_last, tenant=tenant, **options
    )
    is_thinking = None
    if markers is not None:
        continued = str(request.messages[-1].get("content")) if request.continue_final_message else None
        is_thinking = markers.is_thinking(text, last_message=continued)
    return Prompt(len(ids), ids=ids, is_thinking=is_thinking)


def _encode(
    encoder: PromptEncoder, prompt: str | list[int], request: CompletionRequest, num_last: int | None,
    tenant: str | None,
) -> list[int]:  # fmt: skip
    if isinstance(prompt, str):
        adds = request.wants_special_tokens
        return encoder.encode_text(prompt, add_special_tokens=adds, num_last=num_last, tenant=tenant)
    if num_last is not None:
        prompt = prompt[-num_last:]
    encoder.check_ids(prompt)
    return prompt


def read_input(encoder: PromptEncoder, given: str | list[int]) -> list[int]:
    """The ids of an input to embed, with the tokenizer's special tokens; it may fill the context. Blocks. Raises
    ApiError as above."""
    if isinstance(given, str):
        return encoder.encode_text(given, param="input", num_new=0)
    encoder.check_ids(given, param="input", num_new=0)
    return given


def _num_last(encoder: PromptEncoder, request: ChatCompletionRequest | CompletionRequest) -> int | None:
    """How many of a prompt's last tokens are wanted; None: all."""
    wanted = request.truncate_prompt_tokens
    if wanted is None or wanted > 0:
        return wanted
    if encoder.max_model_len is None:
        return None
    num_new = request.new_token_limit or request.default_max_tokens or 1
    return max(encoder.max_model_len - num_new, 1)


def template_options(request: ChatCompletionRequest) -> dict[str, Any]:
    """The keyword arguments of `PromptEncoder.render_chat` that a request sets."""
    continues = bool(request.continue_final_message)
    adds = request.add_generation_prompt
    options = {
        "documents": request.documents,
        "add_generation_prompt": not continues if adds is None else adds,
        "continue_final_message": continues,
        "template_kwargs": request.template_kwargs or None,
    }
    if request.has_tools:
        options["tools"] = request.tool_use.shown
    return options


#: What a request may say of thinking -> the template's variables for it.
_THINKING = {
    "reasoning_effort": frozenset({"reasoning_effort", "enable_thinking", "thinking"}),
    "enable_thinking": frozenset({"enable_thinking", "thinking"}),
}


def unread_options(request: ChatCompletionRequest, variables: frozenset[str]) -> list[str]:
    """The request's fields of which its chat template reads nothing.

    Args:
        variables: the names that the template reads.
    """
    given = request.__pydantic_fields_set__
    if TEMPLATE_FIELDS.isdisjoint(given):  # most
        return []
    unread = [
        name
        for name, read in _THINKING.items()
        if name in given and getattr(request, name) is not None and not read & variables
    ]
    if request.documents and "documents" not in variables:
        unread.append("documents")
    if request.chat_template_kwargs and not request.chat_template_kwargs.keys() <= variables:
        unread.append("chat_template_kwargs")
    return unread
