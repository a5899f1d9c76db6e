"""Compiled programs on disk, whole: a start that finds them traces, lowers and compiles nothing.

jax's own persistent cache saves the compile alone; tracing, lowering and its look-ups are then most of a warm start
(bundled model, 11 programs on two cores: 11.4 s cold, 3.9 with jax's cache, 1.1 with this). A stored program is machine
code, so nothing is read that others than root and this process's user could have written. A folder that cannot be
written is read. Everything that could change a program is part of its name: versions, device, the CPU's features, XLA's
flags, this package's sources, the row parameters, the shapes. Samplers know no model, so models of one vocabulary share
them.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import platform
from collections.abc import Callable
from enum import IntEnum
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
from jax.experimental import serialize_executable

import penstock
from penstock.engine.mesh import devices_for
from penstock.engine.program_set import ProgramConfig, ProgramKey
from penstock.engine.programs import program_trees
from penstock.engine.row_parameters import ROW_PARAMETERS
from penstock.layers.kernels import register_kernels

log = logging.getLogger("penstock.engine")

#: Programs kept, the least recently used going first: some twenty models' worth.
MAX_PROGRAMS = 400
#: Files start with the SHA-256 of what follows.
_DIGEST_BYTES = 32
#: Kinds that models of one vocabulary share.
MODEL_FREE = frozenset({"rules", "sample"})
#: The sources that programs are made of: what `engine.programs` imports.
SOURCES = ("layers", "models", "engine", "mxfp4.py", "generation.py", "errors.py")


class Access(IntEnum):
    """What may be done with a folder of programs."""

    NONE = 0
    READ = 1
    WRITE = 2


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
        self._machine = _machine(device)
        self._access = _prepare(folder)

    def load(self, key: ProgramKey) -> Callable[..., Any] | None:
        """The program, or None if it is not there or cannot be used."""
        file = self._file(key)
        if self._access < Access.READ:
            return None
        register_kernels()
        try:
            if not _is_safe(file.stat()):
                raise PermissionError("other users could have written it")
            data = file.read_bytes()
            digest, payload = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
            if hashlib.sha256(payload).digest() != digest:
                raise ValueError("checksum differs")
            loaded: Callable[..., Any] = serialize_executable.deserialize_and_load(
                payload,
                *program_trees(key, self._config, self._weights),
                execution_devices=devices_for(self._config.num_devices),
            )
        except FileNotFoundError:
            return None
        except Exception as error:  # whatever is wrong with a file, compiling anew is right
            log.warning("stored program %s (%s) is left out: %s", key, file, error)
            return None
        with contextlib.suppress(OSError):  # only `prune` asks for it
            os.utime(file)
        return loaded

    def save(self, key: ProgramKey, compiled: Any) -> None:
        """Stores a program; a full disk or a backend that cannot serialize costs the next start time, no more."""
        if self._access < Access.WRITE:
            return
        file = self._file(key)
        part = file.with_suffix(f".{os.getpid()}")
        try:
            payload = serialize_executable.serialize(compiled)[0]
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), "wb") as opened:
                opened.write(hashlib.sha256(payload).digest() + payload)
            part.replace(file)
        except Exception as error:
            log.info("program %s is not stored: %s", key, error)
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)

    def prune(self) -> None:
        """Drops the least recently used programs above MAX_PROGRAMS."""
        if self._access < Access.WRITE:
            return
        with contextlib.suppress(OSError):  # another process may prune the same folder
            files = sorted(self._folder.glob("*.program"), key=lambda file: file.stat().st_mtime)
            for file in files[: -MAX_PROGRAMS or None]:
                file.unlink(missing_ok=True)

    def _file(self, key: ProgramKey) -> Path:
        model = _sizes(self._config) if key.kind in MODEL_FREE else _model(self._config, self._weights)
        name = repr([self._machine, model, key])
        return self._folder / f"{hashlib.sha256(name.encode()).hexdigest()[:40]}.program"


def _prepare(folder: Path) -> Access:
    """Makes the folder, and says in the log where it cannot be used in full."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        is_safe = _is_safe(folder.stat())
    except OSError as error:
        log.warning("compiled programs will not be kept: %s: %s", folder, error.strerror)
        return Access.NONE
    if not is_safe:
        log.warning("compiled programs will not be kept: %s can be written by other users", folder)
        return Access.NONE
    if not os.access(folder, os.R_OK | os.X_OK):
        log.warning("compiled programs will not be kept: %s cannot be read", folder)
        return Access.NONE
    if not os.access(folder, os.W_OK):
        log.warning("compiled programs are read from %s, new ones are not kept: it cannot be written", folder)
        return Access.READ
    return Access.WRITE


def _is_safe(stat: os.stat_result) -> bool:
    """Nobody but root and this process's user can write to it."""
    return stat.st_uid in {0, os.getuid()} and not stat.st_mode & 0o022


def _machine(device: jax.Device) -> list[Any]:
    """What shapes a program, the model aside."""
    return [
        (jax.__version__, version("jaxlib"), _source_digest()),
        (device.platform, device.device_kind, device.client.platform_version, platform.machine(), _cpu_features()),
        [os.environ.get(name, "") for name in ("XLA_FLAGS", "LIBTPU_INIT_ARGS")],
        [getattr(jax.config, name) for name in ("jax_default_matmul_precision", "jax_enable_x64")],
        ROW_PARAMETERS,
    ]


def _model(config: ProgramConfig, weights: Any) -> list[Any]:
    return [[(leaf.shape, str(leaf.dtype)) for leaf in jax.tree.leaves(weights)], jax.tree.structure(weights), config]


def _sizes(config: ProgramConfig) -> list[Any]:
    """All that programs without a model in them are told: they read logits, rules and the state of slots."""
    sizes = ("num_slots", "num_page_groups", "pages_per_sequence", "is_dynamic", "compiler_options", "num_devices")
    return [config.spec.vocab_size, *(getattr(config, name) for name in sizes)]


def _cpu_features() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")


def _source_digest() -> str:
    root = Path(penstock.__file__).parent
    files = sorted(
        file for name in SOURCES for file in ([root / name] if name.endswith(".py") else (root / name).rglob("*.py"))
    )
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
