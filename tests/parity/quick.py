"""Engines that are compiled in two thirds of the time: for what an engine does, not for what XLA makes of it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from unittest.mock import patch

from penstock.engine.platform import PLATFORMS

#: For programs that run seldom, of which LLVM's passes are two fifths of the cost; else as the engine compiles.
QUICK = {**dict(PLATFORMS["cpu"].compiler_options), "xla_backend_optimization_level": 0}
QUICK_CPU = replace(PLATFORMS["cpu"], compiler_options=tuple(QUICK.items()))


def quickly() -> AbstractContextManager[object]:
    """Engines that are loaded within it are compiled so."""
    return patch.dict(PLATFORMS, cpu=QUICK_CPU)
