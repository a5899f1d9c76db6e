"""From a checked request to token ids: the prompts of engines that read ids."""

from __future__ import annotations

from typing import Any

from penstock.generation import Prompt
from penstock.prompt import PromptEncoder
from penstock.protocol import ChatCompletionRequest, CompletionRequest

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
    if request.documents or request.chat_template_kwargs:
        return False
    num_chars = 0
    for message in request.messages:
        content = message.get("content")
        if not isinstance(content, str) or len(message) != _PLAIN_MESSAGE_KEYS:
            return False
        num_chars += _MESSAGE_CHARS + len(content)
    return num_chars < _QUICK_CHARS


def read_token_prompts(
    encoder: PromptEncoder, request: ChatCompletionRequest | CompletionRequest
) -> tuple[Prompt, ...]:
    """Renders and encodes. Blocks. Raises ApiError as `PromptEncoder` does."""
    if isinstance(request, ChatCompletionRequest):
        all_ids = [encoder.encode_chat(request.messages, **template_options(request))]
    else:
        all_ids = [_encode(encoder, prompt) for prompt in request.prompts]
    return tuple(Prompt.of_ids(ids) for ids in all_ids)


def _encode(encoder: PromptEncoder, prompt: str | list[int]) -> list[int]:
    if isinstance(prompt, str):
        return encoder.encode_text(prompt)
    encoder.check_ids(prompt)
    return prompt


def template_options(request: ChatCompletionRequest) -> dict[str, Any]:
    """The keyword arguments of `PromptEncoder.render_chat` that a request sets."""
    continues = bool(request.continue_final_message)
    adds = request.add_generation_prompt
    return {
        "documents": request.documents,
        "add_generation_prompt": not continues if adds is None else adds,
        "continue_final_message": continues,
        "template_kwargs": request.chat_template_kwargs,
    }
