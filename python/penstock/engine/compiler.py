"""Compiles the closed set of programs ahead of time, in threads, and counts what is compiled later.

The persistent cache is jax's own, with every program in it however short its compile.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

from penstock.engine.programs import ProgramConfig, ProgramKey, program

log = logging.getLogger("penstock.engine")

#: What jax reports once for each executable that it builds or reads from its cache.
COMPILE_EVENT = "/jax/core/compile/backend_compile_duration"

Programs = dict[ProgramKey, Callable[..., Any]]


class CompileCounter:
    """Counts the executables that jax has built in this process since the counter was first asked for."""

    def __init__(self) -> None:
        self.count = 0
        jax.monitoring.register_event_duration_secs_listener(self._observe)

    def _observe(self, event: str, duration_secs: float, **_: str | int) -> None:
        if event == COMPILE_EVENT:
            self.count += 1


_counter: CompileCounter | None = None


def compile_counter() -> CompileCounter:
    """The process's one counter: jax keeps its listeners for good."""
    global _counter
    if _counter is None:
        _counter = CompileCounter()
    return _counter


def default_cache_folder() -> Path:
    """`$XDG_CACHE_HOME/penstock/xla`, or under `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "penstock" / "xla"


def enable_persistent_cache(folder: Path) -> None:
    """Has jax keep every executable in `folder`. A folder that cannot be written costs time, not the start."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        log.warning("compiled programs will not be kept: %s: %s", folder, error.strerror)
        return
    settings = {
        "jax_compilation_cache_dir": str(folder),
        "jax_persistent_cache_min_compile_time_secs": 0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    for name, value in settings.items():
        jax.config.update(name, value)  # type: ignore[no-untyped-call]  # jax leaves it without types
    compilation_cache.reset_cache()  # jax looks at the folder once, at its first compile, which may have been before


def compile_programs(
    keys: Sequence[ProgramKey], config: ProgramConfig, weights: Any, *, on_progress: Callable[[str], None]
) -> Programs:
    """Compiles every program, smallest first, as many at a time as there are cores (at most four).

    Args:
        weights: the tree, of arrays or shapes.
        on_progress: told "compiled 7/12".
    """
    programs: Programs = {}
    start = time.monotonic()
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="penstock-compile") as pool:
        jobs = [pool.submit(_compile, key, config, weights) for key in keys]
        try:
            for job in as_completed(jobs):
                key, programs[key] = job.result()
                on_progress(f"compiled {len(programs)}/{len(keys)}")
        finally:
            pool.shutdown(cancel_futures=True)
    log.info("compiled %d programs in %.1f s", len(keys), time.monotonic() - start)
    return programs


_lowering = threading.Lock()


def _compile(key: ProgramKey, config: ProgramConfig, weights: Any) -> tuple[ProgramKey, Callable[..., Any]]:
    start = time.monotonic()
    with _lowering:  # tracing holds the GIL: in turn, so that the first program does not wait for all
        function, shapes = program(key, config, weights)
        lowered = function.lower(*shapes)  # type: ignore[attr-defined]  # a jitted function, which jax does not type
    middle = time.monotonic()
    compiled = lowered.compile()
    log.info("program %s: traced in %.2f s, compiled in %.2f s", key, middle - start, time.monotonic() - middle)
    return key, compiled
