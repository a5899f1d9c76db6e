"""By which formats a model writes tool calls and thoughts."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OutputFormats:
    """Names of formats; None: the model has none, as far as is known."""

    tool: str | None = None
    reasoning: str | None = None


def detect_formats(template: str, tokens: Set[str]) -> OutputFormats:
    """The formats that a chat template and the texts of a vocabulary's tokens tell of."""
    return OutputFormats()


#: The names of all formats.
TOOL_FORMATS: tuple[str, ...] = ()
REASONING_FORMATS: tuple[str, ...] = ()


def markers_of(reasoning: str) -> tuple[str, str] | None:
    """What begins and ends a thought."""
    return None
