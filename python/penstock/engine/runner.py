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
from penstock.engine.interface import Capacity, EngineOptions, PrefillSlice
from penstock.engine.memory import give_back_free_memory, plan_memory
from penstock.engine.platform import platform_of
from penstock.engine.program_store import ProgramStore
from penstock.engine.programs import ProgramConfig, ProgramKey, decode_buckets, prefill_buckets, program_keys
from penstock.engine.state import pack_slice
from penstock.errors import ConfigError
from penstock.layers.gather_attention import GatherAttention
from penstock.weights import load_weights

log = logging.getLogger("penstock.engine")


@dataclass(frozen=True, slots=True)
class InFlight:
    """A step on its way: `StepResult` over one small device array.

    Attributes:
        packed: int32 [bucket, N + 1], of `decode` and `prefill` in `penstock.engine.programs`.
    """

    packed: jax.Array
    num_rows: int

    def fetch(self) -> tuple[np.ndarray, np.ndarray]:
        packed = np.asarray(self.packed)[: self.num_rows]
        return packed[:, :-1], packed[:, -1].astype(np.uint8)


class Runner:
    """Weights, cache and slot state of one model on one device. For one thread at a time.

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
        self._is_sampled = np.zeros(capacity.num_slots, bool)
        self.reset()
        self._num_compiles_at_ready = compile_counter().count

    @classmethod
    def load(cls, checkpoint: Checkpoint, options: EngineOptions, *, on_progress: Callable[[str], None]) -> Runner:
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

    def prefill(self, piece: PrefillSlice) -> InFlight:
        """Dispatches one slice. The last slice of a prompt gives one row of one token; the others give no row, only
        something to wait for, so that a long prompt does not run ahead of its cancel."""
        size = next(bucket for bucket in self._prefill_buckets if bucket >= len(piece.tokens))
        packed = pack_slice(piece, size, self._config.pages_per_sequence)
        self._is_sampled[piece.slot] = piece.temperature > 0
        result = self._run(ProgramKey("prefill", size), packed)
        return InFlight(result, int(piece.is_last))

    def decode(self, slots: np.ndarray, *, tokens: int = 1) -> InFlight:
        """Dispatches the next `tokens` tokens of each of `slots`, int32 [B]; rows that have ended give -1 and 0."""
        size = next(bucket for bucket in self._decode_buckets if bucket >= len(slots))
        packed = np.full(size, self.capacity.num_slots, np.int32)
        packed[: len(slots)] = slots
        is_greedy = not self._config.is_dynamic and not self._is_sampled[slots].any()
        return InFlight(self._run(ProgramKey("decode", size, tokens, is_greedy), packed), len(slots))

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


def plan_engine(
    checkpoint: Checkpoint, options: EngineOptions, *, device: jax.Device
) -> tuple[Capacity, ProgramConfig]:
    """Resolves the options for a device: what will be held, and what all programs share."""
    platform = platform_of(device)
    dtype = options.dtype or platform.dtype
    max_model_len = options.max_model_len or checkpoint.max_position_embeddings
    if max_model_len > checkpoint.max_position_embeddings:
        raise ConfigError(
            f"--max-model-len {max_model_len} is more than the {checkpoint.max_position_embeddings} positions of "
            f"{checkpoint.path.name}"
        )
    plan = plan_memory(
        checkpoint.spec, options, dtype=dtype, page_size=platform.page_size, max_model_len=max_model_len, device=device
    )
    capacity = Capacity(
        num_slots=options.max_num_seqs,
        num_pages=plan.num_pages,
        page_size=platform.page_size,
        max_model_len=plan.max_model_len,
        max_prefill_tokens=min(options.max_prefill_tokens or platform.max_prefill_tokens, plan.max_model_len),
        tokens_per_dispatch=options.tokens_per_dispatch or platform.tokens_per_dispatch,
        pipeline_depth=options.pipeline_depth or platform.pipeline_depth,
    )
    attention = GatherAttention(platform.page_size, platform.block_size, platform.is_dynamic)
    config = ProgramConfig(
        spec=checkpoint.spec,
        attention=attention,
        cache_dtype=jax.numpy.dtype(dtype),
        num_pages=plan.num_pages + 1,
        num_slots=capacity.num_slots,
        pages_per_sequence=-(-plan.max_model_len // platform.block_size) * (platform.block_size // platform.page_size),
        is_dynamic=platform.is_dynamic,
        compiler_options=platform.compiler_options,
    )
    return capacity, config
