"""Query parameters as a handler's annotations say: text, numbers, true and false, one of several words."""

from __future__ import annotations

import inspect
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from penstock.errors import ApiError

_KINDS = (str, int, float, bool, NoneType)


class QueryParameter:
    """What a handler takes from the query string.

    Attributes:
        name: as in the query; annotation: what its text becomes.
        is_required: the handler has no default for it; default: that default.
    """

    def __init__(self, name: str, annotation: Any, default: Any) -> None:
        self.name = name
        self.annotation = annotation
        self.is_required = default is inspect.Parameter.empty
        self.default = None if self.is_required else default
        self._adapter: TypeAdapter[Any] = TypeAdapter(annotation)

    def read(self, query: dict[str, str]) -> Any:
        """Its value. Raises ApiError "missing_parameter", or "invalid_value" on text that is none."""
        text = query.get(self.name)
        if text is None:
            if self.is_required:
                raise ApiError("missing_parameter", f"'{self.name}' is required in the query.", param=self.name)
            return self.default
        try:
            return self._adapter.validate_python(text)
        except ValidationError as error:
            expected = error.errors(include_url=False)[0]["msg"].removeprefix("Input should be ").split(", unable")[0]
            problem = f"'{self.name}' must be {expected}."
            raise ApiError("invalid_value", problem, param=self.name) from None


def is_query_type(annotation: Any) -> bool:
    """Whether the text of one query parameter can become this."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return is_query_type(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return all(map(is_query_type, get_args(annotation)))
    if origin is Literal:
        return True
    return annotation in _KINDS or (inspect.isclass(annotation) and issubclass(annotation, Enum))
