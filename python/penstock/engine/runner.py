"""The device side of an engine: one call per step, asynchronous, over programs that are all compiled before."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from penstock.checkpoint import Checkpoint
from penstock.engine.compiler import (
    Programs,
    compile_counter,
    compile_programs,
    default_cache_folder,
    disable_jax_cache,
)
from penstock.engine.interface import (
    BlockTableChange,
    Capacity,
    EngineOptions,
    InFlightStep,
    Join,
    Span,
    StepOutput,
    StepPlan,
    Yields,
)
from penstock.engine.memory import give_back_free_memory, plan_memory
from penstock.engine.platform import platform_of
from penstock.engine.program_set import (
    ProgramConfig,
    ProgramKey,
    decode_buckets,
    decode_layout,
    prefill_buckets,
    program_keys,
    span_layout,
)
from penstock.engine.program_store import ProgramStore
from penstock.engine.row_parameters import is_plain
from penstock.errors import ConfigError
from penstock.weights import load_weights

log = logging.getLogger("penstock.engine")


@dataclass(frozen=True, slots=True)
class DispatchedPrograms:
    """A step on its way: its programs' results, in the order of the rows.

    Attributes:
        results: int32 [bucket, N + 1] of `prefill` and `decode` in `penstock.engine.programs`, and how many of each
            one's rows are the step's.
    """

    results: list[tuple[jax.Array, int]]

    def fetch(self) -> StepOutput:
        rows = [np.asarray(result)[:num_rows] for result, num_rows in self.results]
        whole = rows[0] if len(rows) == 1 else _stacked(rows)
        return StepOutput(np.ascontiguousarray(whole[:, :-1]), whole[:, -1].astype(np.uint8))


def _stacked(parts: list[np.ndarray]) -> np.ndarray:
    """[R, N + 1] arrays of several N one below the other; ids that a part lacks are -1."""
    width = max(part.shape[1] for part in parts)
    whole = np.full((sum(map(len, parts)), width), -1, np.int32)
    start = 0
    for part in parts:
        rows = whole[start : start + len(part)]
        rows[:, : part.shape[1] - 1], rows[:, -1] = part[:, :-1], part[:, -1]
        start += len(part)
    return whole


class JaxRunner:
    """Weights, cache and slot state of one model on one device: a `Runner` for one thread at a time.

    Attributes:
        capacity: what it holds.
    """

    def __init__(self, *, capacity: Capacity, config: ProgramConfig, weights: Any, programs: Programs) -> None:
        self.capacity = capacity
        self._config = config
        self._weights = weights
        self._programs = programs
        self._prefill_buckets = prefill_buckets(capacity.max_prefill_tokens)
        self._decode_buckets = decode_buckets(capacity.num_slots)
        self._is_plain = np.ones(capacity.num_slots, bool)
        self._packed_slots: tuple[np.ndarray, np.ndarray] | None = None  # of the last decode, and as it was packed
        self.reset()
        self._num_compiles_at_ready = compile_counter().count

    @classmethod
    def load(cls, checkpoint: Checkpoint, options: EngineOptions, *, on_progress: Callable[[str], None]) -> JaxRunner:
        """Plans the memory, loads the weights and compiles every program.

        Args:
            on_progress: told what is going on, as "loading weights" or "compiled 7/12".

        Raises:
            ConfigError, ModelError: one sentence for the operator.
        """
        device = jax.devices()[0]
        compile_counter()
        disable_jax_cache()
        capacity, config = plan_engine(checkpoint, options, device=device)
        on_progress("loading weights")
        start = time.monotonic()
        weights = load_weights(checkpoint, dtype=config.cache_dtype, device=device)
        log.info("loaded %s (%s) in %.1f s", checkpoint.path, checkpoint.architecture, time.monotonic() - start)
        store = ProgramStore(options.compile_cache or default_cache_folder(), config, weights, device=device)
        keys = program_keys(capacity, config)
        programs = compile_programs(keys, config, weights, store=store, on_progress=on_progress)
        give_back_free_memory()
        return cls(capacity=capacity, config=config, weights=weights, programs=programs)

    @property
    def dtype(self) -> str:
        """Of weights and cache, as "float32"."""
        return str(self._config.cache_dtype)

    @property
    def num_compiles_after_ready(self) -> int:
        """Executables that this process has built since this runner was ready. Stays 0 in a server."""
        return compile_counter().count - self._num_compiles_at_ready

    def dispatch(self, plan: StepPlan) -> InFlightStep:
        """Starts a step: a program for each span, and one for all rows that decode.

        Raises:
            NotImplementedError: for what the interface has room for and no program computes yet.
        """
        _refuse_unbuilt(plan)
        joins = {join.slot: join for join in plan.joins}
        changes = {span.slot: [each for each in plan.block_tables if each.slot == span.slot] for span in plan.spans}
        results = [self._prefill(span, joins.get(span.slot), changes[span.slot]) for span in plan.spans]
        if len(plan.decode_slots):
            of_decode = [each for each in plan.block_tables if each.slot not in changes]
            results.append(self._decode(plan.decode_slots, plan.tokens_per_dispatch, of_decode))
        return DispatchedPrograms(results)

    def _prefill(self, span: Span, join: Join | None, changes: list[BlockTableChange]) -> tuple[jax.Array, int]:
        size = next(bucket for bucket in self._prefill_buckets if bucket >= len(span.tokens))
        packed, parts = span_layout(size, self._config).zeros()
        parts["slot"][:], parts["num_tokens"][:], parts["start"][:] = span.slot, len(span.tokens), span.start
        parts["yields"][:], parts["is_join"][:] = span.yields, join is not None
        parts["tokens"][: len(span.tokens)] = span.tokens
        if join is not None:
            parts["params"][:] = join.params
            self._is_plain[join.slot] = is_plain(join.params)
        self._put_changes(parts, changes)
        is_variant = not self._config.is_dynamic and bool(self._is_plain[span.slot])
        key = ProgramKey("prefill", size, is_plain=is_variant)
        return self._run(key, packed), int(span.yields == Yields.TOKEN)

    def _decode(self, slots: np.ndarray, tokens: int, changes: list[BlockTableChange]) -> tuple[jax.Array, int]:
        size = next(bucket for bucket in self._decode_buckets if bucket >= len(slots))
        is_variant = not self._config.is_dynamic and bool(self._is_plain[slots].all())
        key = ProgramKey("decode", size, tokens, is_variant)
        return self._run(key, self._pack_decode(slots, size, changes)), len(slots)

    def _pack_decode(self, slots: np.ndarray, size: int, changes: list[BlockTableChange]) -> np.ndarray:
        """As `decode_layout`. Steady decode names the same array of slots again and again: it is packed once."""
        if not changes and self._packed_slots is not None and self._packed_slots[0] is slots:
            return self._packed_slots[1]
        packed, parts = decode_layout(size, self._config).zeros()
        parts["slots"][:] = self.capacity.num_slots
        parts["slots"][: len(slots)] = slots
        self._put_changes(parts, changes)
        self._packed_slots = None if changes else (slots, packed)
        return packed

    def _put_changes(self, parts: dict[str, np.ndarray], changes: list[BlockTableChange]) -> None:
        config, done = self._config, 0
        parts["entries"][:] = config.no_table_entry
        for change in changes:
            row = change.group * (config.num_slots + 1) + change.slot
            first, end = row * config.pages_per_sequence + change.first, done + len(change.pages)
            assert end <= len(parts["entries"]), "more of the block tables changes than a step has room for"
            parts["entries"][done:end] = np.arange(first, first + len(change.pages))
            parts["pages"][done:end] = change.pages
            done = end

    def reset(self) -> None:
        """An empty cache and no active slot: at the start, and after a step that failed."""
        self._caches: Any = None
        self._state: Any = None
        self._caches, self._state = self._programs[ProgramKey("fresh")]()

    def _run(self, key: ProgramKey, packed: np.ndarray) -> jax.Array:
        result: jax.Array
        result, self._caches, self._state = self._programs[key](self._weights, self._caches, self._state, packed)
        result.copy_to_host_async()
        return result


def _refuse_unbuilt(plan: StepPlan) -> None:
    if plan.masks is not None:
        raise NotImplementedError("no program of this engine takes masks")
    for span in plan.spans:
        if span.yields not in {Yields.NOTHING, Yields.TOKEN}:
            raise NotImplementedError(f"no program of this engine yields {span.yields.name}")


def plan_engine(
    checkpoint: Checkpoint, options: EngineOptions, *, device: jax.Device
) -> tuple[Capacity, ProgramConfig]:
    """Resolves the options for a device: what will be held, and what all programs share."""
    platform = platform_of(device)
    attention = platform.attention
    dtype = options.dtype or platform.dtype
    max_model_len = options.max_model_len or checkpoint.max_position_embeddings
    if max_model_len > checkpoint.max_position_embeddings:
        raise ConfigError(
            f"--max-model-len {max_model_len} is more than the {checkpoint.max_position_embeddings} positions of "
            f"{checkpoint.path.name}"
        )
    plan = plan_memory(
        checkpoint.spec, options, dtype=dtype, page_size=attention.page_size, max_model_len=max_model_len, device=device
    )
    capacity = Capacity(
        num_slots=options.max_num_seqs,
        num_pages=plan.num_pages,
        page_size=attention.page_size,
        max_model_len=plan.max_model_len,
        max_prefill_tokens=min(options.max_prefill_tokens or platform.max_prefill_tokens, plan.max_model_len),
        tokens_per_dispatch=options.tokens_per_dispatch or platform.tokens_per_dispatch,
        pipeline_depth=options.pipeline_depth or platform.pipeline_depth,
        num_page_groups=len(checkpoint.spec.page_groups),
    )
    config = ProgramConfig(
        spec=checkpoint.spec,
        attention=attention,
        cache_dtype=jax.numpy.dtype(dtype),
        num_pages=plan.num_pages + 1,
        num_slots=capacity.num_slots,
        pages_per_sequence=-(-plan.max_model_len // attention.block_size)
        * (attention.block_size // attention.page_size),
        is_dynamic=platform.is_dynamic,
        compiler_options=platform.compiler_options,
        num_page_groups=capacity.num_page_groups,
    )
    return capacity, config
