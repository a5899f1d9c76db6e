"""A handler's parameters as FastAPI spells them: `Query` and `Path` are understood, others are refused at the start.

Nothing of FastAPI is imported; its marks are known by their module, and are pydantic's fields.
"""

from __future__ import annotations

import inspect
from typing import Annotated, Any, get_args, get_origin

from penstock.errors import ConfigError

_UNDERSTOOD = ("Query", "Path")


def plain(name: str, hint: Any, default: Any) -> tuple[Any, Any]:
    """`hint` and `default` of the parameter `name`, with the default that a mark holds in place of the mark.

    Raises:
        ConfigError: a mark that says where else its value should come from.
    """
    marks = [*(get_args(hint)[1:] if get_origin(hint) is Annotated else ()), default]
    for mark in filter(_is_mark, marks):
        kind, alias = type(mark).__name__, getattr(mark, "alias", None)
        if kind not in _UNDERSTOOD or alias not in (None, name):
            shown = f"{kind}(alias={alias!r})" if kind in _UNDERSTOOD else kind
            raise ConfigError(
                f"FastAPI's {shown} of the parameter '{name}' is not known here: take the Request and read it there."
            )
    if not _is_mark(default):
        return hint, default
    held = inspect.Parameter.empty if default.is_required() else default.get_default(call_default_factory=True)
    return (str if hint is None else Annotated[hint, default]), held


def _is_mark(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "fastapi"
