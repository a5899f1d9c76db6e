"""What generation_config.json and config.json say about generating: stop ids and sampling defaults. Knows no model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from penstock.errors import ModelError
from penstock.generation import MAX_STOP_IDS_OF_A_MODEL, SamplingDefaults

#: Bounds of each sampling default; a top_k of -1 is vLLM's way to say none.
_NUMBERS = {"temperature": (0.0, 100.0), "top_p": (1e-6, 1.0), "min_p": (0.0, 1.0)}
_MAX_TOP_K = 2**31 - 1


def stop_ids(vocab_size: int, *configs: Mapping[str, Any]) -> tuple[int, ...]:
    """Those within the vocabulary: no other can come up."""
    ids: set[int] = set()
    for config in configs:
        value = config.get("eos_token_id")
        values = value if isinstance(value, list) else [] if value is None else [value]
        if not all(isinstance(item, int) and not isinstance(item, bool) for item in values):
            raise ModelError(f"eos_token_id must be a token id or a list of them, found {str(value)[:60]}")
        ids.update(item for item in values if 0 <= item < vocab_size)
    if len(ids) > MAX_STOP_IDS_OF_A_MODEL:
        raise ModelError(f"eos_token_id has {len(ids)} ids, expected at most {MAX_STOP_IDS_OF_A_MODEL}")
    return tuple(sorted(ids))


def sampling_defaults(generation: Mapping[str, Any]) -> SamplingDefaults:
    """What the file sets. ModelError on what no sampler can mean; null is not set."""
    given: dict[str, Any] = {}
    for name, (lowest, highest) in _NUMBERS.items():
        value = generation.get(name)
        if value is None:
            continue
        if not isinstance(value, int | float) or isinstance(value, bool) or not lowest <= value <= highest:
            _refuse(name, f"a number from {lowest:g} to {highest:g}", value)
        given[name] = float(value)
    top_k = generation.get("top_k")
    if top_k is not None:
        if not isinstance(top_k, int) or isinstance(top_k, bool) or not -1 <= top_k <= _MAX_TOP_K:
            _refuse("top_k", "a positive integer, or 0 or -1 for none", top_k)
        given["top_k"] = max(top_k, 0)
    return SamplingDefaults(**given, source="generation_config.json") if given else SamplingDefaults()


def _refuse(name: str, expected: str, value: Any) -> NoReturn:
    raise ModelError(f"generation_config.json: {name} must be {expected}, found {value!r}")


def read_json_object(file: Path) -> dict[str, Any]:
    """A JSON file's object. ModelError when it is something else, or cannot be read."""
    try:
        value = json.loads(file.read_bytes())
    except OSError as error:
        raise ModelError(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{file} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise ModelError(f"{file} must hold a JSON object, found a {type(value).__name__}")
    return value
