"""From pydantic's first complaint to the ApiError a client sees: kind, sentence, and `param` in OpenAI's spelling.

Values are shown only when short; a client's own text is never echoed at length.
"""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError

from penstock.errors import ApiError
from penstock.protocol.common import TAG

_MAX_SHOWN_CHARS = 40
_MAX_PATH_CHARS = 200
#: How pydantic marks that it is the key of an object that is wrong.
_KEY = "[key]"

_WRONG_TYPE = {
    "string_type": "a string",
    "int_type": "an integer",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "list_type": "an array",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "int_parsing": "an integer",
}

_OUT_OF_RANGE = {
    "greater_than_equal": "at least {ge}",
    "greater_than": "greater than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
    "too_short": "an array of {min_length} or more items",
    "too_long": "an array of at most {max_length} items",
    "string_too_short": "a string of at least {min_length} characters",
    "string_too_long": "a string of at most {max_length} characters",
    "literal_error": "one of {expected}",
    "int_parsing_size": "a smaller integer",
    "string_pattern_mismatch": "a string that matches {pattern}",
}


def refusal(error: ValidationError) -> ApiError:
    """The first thing that is wrong, as an ApiError of kind invalid_json, missing_parameter, invalid_type or
    invalid_value."""
    first = error.errors(include_url=False)[0]
    kind, context = first["type"], first.get("ctx", {})
    param = spell_path(first["loc"]) or None
    subject = f"'{param}'" if param else "The request body"
    if kind == "json_invalid":
        return ApiError("invalid_json", f"The request body is not valid JSON: {context['error']}.")
    if kind == "missing":
        return ApiError("missing_parameter", f"{subject} is required.", param=param)
    if kind in _WRONG_TYPE or kind == "json_kind":
        expected = _WRONG_TYPE.get(kind, first["msg"])
        return ApiError("invalid_type", f"{subject} must be {expected}, not {describe(first['input'])}.", param=param)
    if kind in _OUT_OF_RANGE:
        expected = _OUT_OF_RANGE[kind].format(**context)
        return ApiError("invalid_value", f"{subject} must be {expected}, not {describe(first['input'])}.", param=param)
    return ApiError("invalid_value", f"{subject} cannot be used: {first['msg'][:200]}.", param=param)


def spell_path(location: tuple[int | str, ...]) -> str:
    """("messages", 0, "content", "~array", 1) as `messages[0].content[1]`; of a long key its beginning."""
    path = ""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif not part.startswith(TAG) and part != _KEY:
            path += f".{part}" if path else part
    return path[:_MAX_PATH_CHARS]


def describe(value: Any) -> str:
    """A JSON value in a few words: numbers and short strings as they are, the rest by kind."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return _shorten(repr(value))
    if isinstance(value, str):
        return json.dumps(value) if 0 < len(value) <= _MAX_SHOWN_CHARS else f"a string of {len(value)} characters"
    if isinstance(value, (list, tuple)):
        return f"an array of {len(value)} items"
    return "an object"


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN_CHARS else text[:_MAX_SHOWN_CHARS] + "…"
