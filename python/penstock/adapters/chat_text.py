"""A chat as the text that a foreign engine continues."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any


class ChatText:
    """Renders chats with what a model's processor has for it, or as plain lines `role: content`.

    A processor renders by `render_chat`, as `penstock.prompt.PromptEncoder` does, or by `apply_chat_template`, as those
    of transformers do; in whichever options its signature takes.
    """

    def __init__(self, processor: Any) -> None:
        self._render: Callable[..., Any] = _lines
        self._constants: dict[str, Any] = {}
        self._spreads_kwargs = False
        if render := getattr(processor, "render_chat", None):
            self._render = render
        elif apply := getattr(processor, "apply_chat_template", None):
            self._render, self._constants, self._spreads_kwargs = apply, {"tokenize": False}, True
        self._takes = _names_of(self._render)

    def render(self, messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> str:
        """The prompt. `options` as `PromptEncoder.render_chat` names them; those it cannot take are left out."""
        taken = {name: value for name, value in options.items() if self._can_take(name)}
        if self._spreads_kwargs:
            taken |= taken.pop("template_kwargs", None) or {}
        return str(self._render(messages, **self._constants, **taken))

    def unread(self, options: Mapping[str, Any]) -> list[str]:
        """Those of `options` that are asked for and left out."""
        return [name for name, value in options.items() if value and not self._can_take(name)]

    def _can_take(self, name: str) -> bool:
        if name == "template_kwargs" and self._spreads_kwargs:
            return self._takes is None
        return self._takes is None or name in self._takes


def _names_of(function: Callable[..., Any]) -> frozenset[str] | None:
    """The keyword arguments it takes; None: any."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a builtin that does not tell
        return frozenset({"add_generation_prompt"})
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return None
    return frozenset(each.name for each in parameters)


def _lines(messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool = True) -> str:
    lines = [f"{message['role']}: {_text_of(message.get('content'))}" for message in messages]
    return "\n".join([*lines, "assistant:"] if add_generation_prompt else lines)


def _text_of(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return content or ""
