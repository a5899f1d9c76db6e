"""Reads how a checkpoint pools, from the files that sentence-transformers writes beside a model. No jax."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from penstock.errors import ModelError
from penstock.generation_config import read_json_object
from penstock.pooling import Pooling, PoolingConfig

MODULES_FILE = "modules.json"

_MODES = {
    "lasttoken": Pooling.LAST, "mean": Pooling.MEAN, "cls": Pooling.CLS,
}  # fmt: skip
#: The same as flags, of which one is set.
_FLAGS = {
    "pooling_mode_lasttoken": Pooling.LAST, "pooling_mode_mean_tokens": Pooling.MEAN,
    "pooling_mode_cls_token": Pooling.CLS,
}  # fmt: skip
_FLAG_PREFIX = "pooling_mode_"


def read_pooling(path: Path, *, hidden_size: int) -> PoolingConfig:
    """What `modules.json` of a folder says; where there is none, the last token's state at length 1, as of decoders
    that are made for embeddings.

    Raises:
        ModelError: a module or a mode that is not built, by its name.
    """
    if not (path / MODULES_FILE).is_file():
        return PoolingConfig(hidden_size)
    modules = _read_modules(path / MODULES_FILE)
    unknown = next((kind for kind, _ in modules if kind not in ("Transformer", "Pooling", "Normalize")), None)
    if unknown is not None:
        raise ModelError(
            f"{MODULES_FILE}: the module {unknown} is not supported, expected Transformer, Pooling and Normalize"
        )
    folder = next((folder for kind, folder in modules if kind == "Pooling"), None)
    if folder is None:
        raise ModelError(f"{MODULES_FILE} names no module Pooling")
    if Path(folder).is_absolute() or ".." in Path(folder).parts:
        raise ModelError(f"{MODULES_FILE}: the path {folder!r} leads out of the folder")
    file = path / folder / "config.json"
    if not file.is_file():
        raise ModelError(f"looked for {file}, which {MODULES_FILE} names, found nothing")
    pooling = _pooling_of(read_json_object(file), name=f"{folder}/config.json")
    return PoolingConfig(hidden_size, pooling, any(kind == "Normalize" for kind, _ in modules))


def _read_modules(file: Path) -> list[tuple[str, str]]:
    """(kind, folder) of each."""
    try:
        listed = json.loads(file.read_bytes())
        return [(str(each["type"]).rpartition(".")[2], str(each["path"])) for each in listed]
    except (OSError, ValueError, RecursionError, TypeError, KeyError):
        raise ModelError(f"{file} is not a list of modules with type and path") from None


def _pooling_of(config: Mapping[str, Any], *, name: str) -> Pooling:
    mode = config.get("pooling_mode")
    if mode is not None:
        if not isinstance(mode, str) or mode not in _MODES:
            raise ModelError(f"{name}: pooling_mode {mode!r:.60} is not supported, expected one of {sorted(_MODES)}")
        return _MODES[mode]
    flags = sorted(flag for flag, value in config.items() if flag.startswith(_FLAG_PREFIX) and value)
    if len(flags) != 1 or flags[0] not in _FLAGS:
        raise ModelError(f"{name}: pooling by {flags} is not supported, expected one of {sorted(_FLAGS)}")
    return _FLAGS[flags[0]]
