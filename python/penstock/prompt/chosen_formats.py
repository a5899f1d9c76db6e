"""The formats of a model's tool calls and thoughts: as a setting says, else as its template and vocabulary tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from penstock import _core
from penstock.errors import ConfigError
from penstock.prompt.encoder import PromptEncoder
from penstock.prompt.formats import REASONING_FORMATS, TOOL_FORMATS, OutputFormats, detect_formats, markers_of
from penstock.prompt.thought import ThoughtMarkers


class _Format(Protocol):
    name: str


def choose_formats(prompt: PromptEncoder, *, tool: str, reasoning: str) -> OutputFormats:
    """Each by its name, "none", or "auto": what is detected. Raises ConfigError on a name that there is not."""
    detected = OutputFormats()
    if "auto" in (tool, reasoning):
        detected = detect_formats(prompt.template_source, frozenset(prompt.tokenizer.get_vocab()))
    return OutputFormats(
        tool=_chosen(tool, detected.tool, _core.ToolFormat, TOOL_FORMATS, flag="--tool-format"),
        reasoning=_chosen(
            reasoning, detected.reasoning, _core.ReasoningFormat, REASONING_FORMATS, flag="--reasoning-format"
        ),
    )


def _chosen(
    name: str, detected: str | None, find: Callable[[str], _Format], known: Iterable[str], *, flag: str
) -> str | None:
    if name == "auto":
        return detected
    if name == "none":
        return None
    try:
        return find(name).name
    except ValueError:
        raise ConfigError(f"{flag} {name} should be auto, none or one of {', '.join(sorted(known))}.") from None


def thought_markers(formats: OutputFormats) -> ThoughtMarkers | None:
    """Between which texts the model thinks; None where it does not, or in a way that prompts do not begin."""
    if formats.reasoning is None or (marks := markers_of(formats.reasoning)) is None:
        return None
    return ThoughtMarkers(*marks, is_implicit=_core.ReasoningFormat(formats.reasoning).is_implicit)
