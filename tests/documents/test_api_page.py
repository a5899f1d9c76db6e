"""docs/api.md tells of every field that a request model declares, and of every harmless one."""

import re
from pathlib import Path

from penstock.protocol import ChatCompletionRequest, CompletionRequest, StreamOptions
from penstock.protocol.fields import HARMLESS

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
TOLD = set(re.findall(r"`([a-z_.]+)`", PAGE))


def test_every_field_is_told() -> None:
    fields = {*ChatCompletionRequest.model_fields, *CompletionRequest.model_fields} - {"stream_options"}
    fields |= {f"stream_options.{name}" for name in StreamOptions.model_fields}
    assert sorted(fields - TOLD) == []


def test_every_harmless_field_is_told() -> None:
    assert sorted(HARMLESS.keys() - TOLD) == []
