"""What the doors of other APIs share: their bodies become a chat, which passes the chat's own door."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from penstock.errors import ApiError
from penstock.protocol.chat import ChatCompletionRequest
from penstock.protocol.common import Limits, Parsed

ChatT = TypeVar("ChatT", bound=ChatCompletionRequest)

#: Fields of a chat that would give several answers, or are said in other words by an API that becomes one.
_OTHER_WORDS = ("n", "best_of", "messages", "prompt", "max_completion_tokens", "functions", "function_call", "echo")


def to_chat(
    cls: type[ChatT], fields: Mapping[str, Any], extra: Mapping[str, Any], limits: Limits, *, names: Mapping[str, str]
) -> Parsed[ChatT]:
    """The chat that a body of another API stands for.

    Args:
        fields: of the chat; a None counts as not given.
        extra: what else the body holds: it goes to the chat's door under its own name, which takes, refuses or names
            it as everywhere.
        names: from a chat's field to what the API calls it, for errors.

    Raises:
        ApiError: in the API's own words.
    """
    for name in _OTHER_WORDS:
        if extra.get(name) not in (None, False, 1):
            raise ApiError("unsupported_parameter", f"'{name}' is not supported here.", param=name)
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        return cls.parse_object({**extra, **given}, limits)
    except ApiError as error:
        raise _in_own_words(error, names) from None


def _in_own_words(error: ApiError, names: Mapping[str, str]) -> ApiError:
    """An error about a chat's field as one about the field that it was made of; where in it, is not told."""
    field = re.split(r"[.\[]", error.param or "", maxsplit=1)[0]
    own = names.get(field)
    if own is None:
        return error
    message = re.sub(rf"'{re.escape(field)}[^']*'", f"'{own}'", error.message)
    return ApiError(error.kind, message, param=own)


def text_of(parts: Any, *, at: str, kinds: frozenset[str]) -> str | list[dict[str, str]]:
    """A message's content, text or parts of text, as a chat has it.

    Args:
        kinds: of parts, in the API's words, that are text.

    Raises:
        ApiError: another part, by its type; a part without text.
    """
    if isinstance(parts, str):
        return parts
    texts = [_text_part(part, at=f"{at}[{i}]", kinds=kinds) for i, part in enumerate(parts or ())]
    return texts[0]["text"] if len(texts) == 1 else texts


def _text_part(part: Mapping[str, Any], *, at: str, kinds: frozenset[str]) -> dict[str, str]:
    kind = str(part.get("type"))
    if kind not in kinds:
        problem = f"'{at}' is of type '{kind[:40]}', which this model cannot read."
        raise ApiError("unsupported_parameter", problem, param=f"{at}.type")
    return {"type": "text", "text": required(part, "refusal" if kind == "refusal" else "text", at=at)}


def required(item: Mapping[str, Any], name: str, *, at: str) -> str:
    """A text that must be there."""
    value = item.get(name)
    if value is None:
        raise ApiError("missing_parameter", f"'{at}.{name}' is required.", param=f"{at}.{name}")
    if not isinstance(value, str):
        raise ApiError("invalid_type", f"'{at}.{name}' must be a string.", param=f"{at}.{name}")
    return value
