"""Compiles the closed set of programs ahead of time, in threads, and counts what is compiled later.

What was compiled once is kept by `penstock.engine.program_store`.
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

from penstock.engine.program_set import ProgramConfig, ProgramKey
from penstock.engine.program_store import ProgramStore
from penstock.engine.programs import program

log = logging.getLogger("penstock.engine")

#: What jax reports once for each executable that it builds.
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


def disable_jax_cache() -> None:
    """Turns jax's own persistent cache off: an executable that was read from it serializes into one that cannot run
    (jax 0.10.2 on CPU: "NOT_FOUND: Function wrapped_broadcast"), and the store keeps more than it does."""
    jax.config.update("jax_enable_compilation_cache", False)  # type: ignore[no-untyped-call]  # jax has no types here
    compilation_cache.reset_cache()  # jax looks at its settings once, at the first compile, which may have been before


def compile_programs(
    keys: Sequence[ProgramKey],
    config: ProgramConfig,
    weights: Any,
    *,
    store: ProgramStore,
    on_progress: Callable[[str], None],
) -> Programs:
    """Takes every program from the store or compiles it, smallest first, as many at a time as there are cores (at
    most four).

    Args:
        weights: the tree, of arrays or shapes.
        on_progress: told "compiled 7/12".
    """
    programs: Programs = {}
    start = time.monotonic()
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="penstock-compile") as pool:
        jobs = [pool.submit(_load_or_compile, key, config, weights, store=store) for key in keys]
        try:
            for job in as_completed(jobs):
                key, programs[key] = job.result()
                on_progress(f"compiled {len(programs)}/{len(keys)}")
        finally:
            pool.shutdown(cancel_futures=True)
    store.prune()
    log.info("%d programs ready in %.1f s", len(keys), time.monotonic() - start)
    return programs


_lowering = threading.Lock()


def _load_or_compile(
    key: ProgramKey, config: ProgramConfig, weights: Any, *, store: ProgramStore
) -> tuple[ProgramKey, Callable[..., Any]]:
    start = time.monotonic()
    stored = store.load(key)
    if stored is not None:
        log.info("program %s: read in %.2f s", key, time.monotonic() - start)
        return key, stored
    with _lowering:  # tracing holds the GIL: in turn, so that the first program does not wait for all
        function, shapes = program(key, config, weights)
        lowered = function.lower(*shapes)  # type: ignore[attr-defined]  # a jitted function, which jax does not type
    middle = time.monotonic()
    compiled = lowered.compile(compiler_options=dict(config.compiler_options))
    log.info("program %s: traced in %.2f s, compiled in %.2f s", key, middle - start, time.monotonic() - middle)
    store.save(key, compiled)
    return key, compiled
