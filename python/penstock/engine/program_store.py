"""Compiled programs on disk, whole: a start that finds them traces, lowers and compiles nothing.

jax's own persistent cache saves the compile alone; tracing, lowering and its look-ups are then most of a warm start
(bundled model, 11 programs on two cores: 11.4 s cold, 3.9 with jax's cache, 1.1 with this). A stored program is machine
code, so a folder that others may write to is not read. Everything that could change a
program is part of its name: versions, device, the CPU's features, XLA's flags, this package's sources, the shapes.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
from jax.experimental import serialize_executable

import penstock
from penstock.engine.programs import ProgramConfig, ProgramKey, program_trees

log = logging.getLogger("penstock.engine")

#: Programs kept, the least recently used going first: some twenty models' worth.
MAX_PROGRAMS = 400
#: Files start with the SHA-256 of what follows.
_DIGEST_BYTES = 32


class ProgramStore:
    """The stored programs of one engine configuration.

    Args:
        folder: holds the programs of all configurations.
        weights: the tree of weights, of arrays or shapes.
    """

    def __init__(self, folder: Path, config: ProgramConfig, weights: Any, *, device: jax.Device) -> None:
        self._folder = folder
        self._config = config
        self._weights = weights
        self._identity = _identity(config, weights, device)
        self._is_usable = _prepare(folder)

    def load(self, key: ProgramKey) -> Callable[..., Any] | None:
        """The program, or None if it is not there or cannot be used."""
        file = self._file(key)
        if not self._is_usable or not file.is_file():
            return None
        try:
            data = file.read_bytes()
            digest, payload = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
            if hashlib.sha256(payload).digest() != digest:
                raise ValueError("checksum differs")
            loaded: Callable[..., Any] = serialize_executable.deserialize_and_load(
                payload, *program_trees(key, self._config, self._weights), execution_devices=jax.devices()[:1]
            )
            os.utime(file)
        except Exception as error:  # whatever is wrong with a file, compiling anew is right
            log.warning("stored program %s (%s) is left out: %s", key, file, error)
            return None
        return loaded

    def save(self, key: ProgramKey, compiled: Any) -> None:
        """Stores a program; a full disk or a backend that cannot serialize costs the next start time, no more."""
        if not self._is_usable:
            return
        file = self._file(key)
        part = file.with_suffix(f".{os.getpid()}")
        try:
            payload = serialize_executable.serialize(compiled)[0]
            part.write_bytes(hashlib.sha256(payload).digest() + payload)
            part.replace(file)
        except Exception as error:
            log.info("program %s is not stored: %s", key, error)
            part.unlink(missing_ok=True)

    def prune(self) -> None:
        """Drops the least recently used programs above MAX_PROGRAMS."""
        if not self._is_usable:
            return
        files = sorted(self._folder.glob("*.program"), key=lambda file: file.stat().st_mtime)
        for file in files[: -MAX_PROGRAMS or None]:
            file.unlink(missing_ok=True)

    def _file(self, key: ProgramKey) -> Path:
        return self._folder / f"{hashlib.sha256(f'{self._identity} {key!r}'.encode()).hexdigest()[:40]}.program"


def _prepare(folder: Path) -> bool:
    """Makes the folder; False where it cannot be used or somebody else could write to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        stat = folder.stat()
    except OSError as error:
        log.warning("compiled programs will not be kept: %s: %s", folder, error.strerror)
        return False
    if stat.st_uid != os.getuid() or stat.st_mode & 0o022:
        log.warning("compiled programs will not be kept: %s can be written by other users", folder)
        return False
    return True


def _identity(config: ProgramConfig, weights: Any, device: jax.Device) -> str:
    parts = [
        (jax.__version__, version("jaxlib"), _source_digest()),
        (device.platform, device.device_kind, device.client.platform_version, platform.machine(), _cpu_features()),
        [os.environ.get(name, "") for name in ("XLA_FLAGS", "LIBTPU_INIT_ARGS")],
        [getattr(jax.config, name) for name in ("jax_default_matmul_precision", "jax_enable_x64")],
        [(leaf.shape, str(leaf.dtype)) for leaf in jax.tree.leaves(weights)],
        config,
    ]
    return repr(parts)


def _cpu_features() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")


def _source_digest() -> str:
    """Of the rooms that programs are made of."""
    root = Path(penstock.__file__).parent
    files = sorted(file for room in ("layers", "models", "engine") for file in (root / room).rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
