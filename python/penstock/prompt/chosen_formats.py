"""The formats of a model's tool calls and thoughts: as a setting says, else as its template and vocabulary tell."""

from __future__ import annotations

from collections.abc import Iterable

from penstock.errors import ConfigError
from penstock.prompt.encoder import PromptEncoder
from penstock.prompt.formats import REASONING_FORMATS, TOOL_FORMATS, OutputFormats, detect_formats, markers_of
from penstock.prompt.thought import ThoughtMarkers


def choose_formats(prompt: PromptEncoder, *, tool: str, reasoning: str) -> OutputFormats:
    """Each by its name, "none", or "auto": what is detected. Raises ConfigError on a name that there is not."""
    detected = OutputFormats()
    if "auto" in (tool, reasoning):
        detected = detect_formats(prompt.template_source, frozenset(prompt.tokenizer.get_vocab()))
    return OutputFormats(
        tool=_chosen(tool, detected.tool, TOOL_FORMATS, flag="--tool-format"),
        reasoning=_chosen(reasoning, detected.reasoning, REASONING_FORMATS, flag="--reasoning-format"),
    )


def _chosen(name: str, detected: str | None, known: Iterable[str], *, flag: str) -> str | None:
    if name == "auto":
        return detected
    if name == "none":
        return None
    if name not in known:
        raise ConfigError(f"{flag} {name} should be auto, none or one of {', '.join(sorted(known))}.")
    return name


def thought_markers(formats: OutputFormats) -> ThoughtMarkers | None:
    """Between which texts the model thinks; None where it does not, or in a way that prompts do not begin."""
    if formats.reasoning is None:
        return None
    marks = markers_of(formats.reasoning)
    return None if marks is None else ThoughtMarkers(*marks)
