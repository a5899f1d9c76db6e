"""Hands the checked settings from `penstock serve` to the supervisor that it becomes.

They go through a file without a name, read once and closed: an environment can be read by others for as long as the
process lives. API keys are in it as digests only.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, MutableMapping
from typing import IO

#: Names the inherited file descriptor.
VARIABLE = "PENSTOCK_SETTINGS_FD"


def hand_on(text: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Puts `text` where the next program of this process finds it. Returns that program's environment.

    It lacks every other `PENSTOCK_*`, as those are settled: they may hold keys in the clear.
    """
    with _nameless_file() as file:
        file.write(text.encode())
        file.flush()
        descriptor = os.dup(file.fileno())
    os.set_inheritable(descriptor, True)
    return {name: value for name, value in environ.items() if not name.startswith("PENSTOCK_")} | {
        VARIABLE: str(descriptor)
    }


def take(environ: MutableMapping[str, str]) -> str:
    """What was handed on. Once only: nothing of it stays."""
    with open(int(environ.pop(VARIABLE)), "rb") as file:
        file.seek(0)
        return file.read().decode()


def _nameless_file() -> IO[bytes]:
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("penstock-settings"), "w+b")
    return tempfile.TemporaryFile()
