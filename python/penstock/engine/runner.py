"""The device side of an engine: one call per step, asynchronous, over programs that are all compiled before."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding

from penstock.checkpoint import Checkpoint
from penstock.engine.compiler import (
    Programs,
    compile_counter,
    compile_programs,
    default_cache_folder,
    disable_jax_cache,
)
from penstock.engine.dispatched import DispatchedPrograms, PooledResult, PromptResult, RowsResult
from penstock.engine.interface import (
    BlockTableChange,
    Capacity,
    EngineOptions,
    InFlightStep,
    Join,
    Span,
    StepPlan,
    Yields,
)
from penstock.engine.memory import give_back_free_memory
from penstock.engine.memory_check import check_temporaries
from penstock.engine.mesh import WHOLE, devices_for, mesh_of, one_at_a_time
from penstock.engine.plan import packed_formats, plan_engine
from penstock.engine.program_set import (
    SCORE_BLOCK,
    ProgramConfig,
    ProgramKey,
    decode_layout,
    is_split,
    join_layout,
    mixed_layouts,
    num_score_blocks,
    program_keys,
    row_counts,
    sample_buckets,
    span_layout,
    span_sizes,
)
from penstock.engine.program_store import ProgramStore
from penstock.engine.programs import SpanStates, cache_bytes
from penstock.engine.row_parameters import Variant, row_use, variant_of
from penstock.engine.token_rules import NUM_COUNTED, NUM_RECENT, RowUse, pack_rules
from penstock.layers.packed_matrix import PackedMatrix
from penstock.sharded_weights import load_shards
from penstock.weight_formats import told_blocks, told_dtype
from penstock.weights import load_weights

log = logging.getLogger("penstock.engine")


class JaxRunner:
    """Weights, cache and slot state of one model on its devices: a `Runner` for one thread at a time.

    Attributes:
        capacity: what it holds.
    """

    def __init__(self, *, capacity: Capacity, config: ProgramConfig, weights: Any, programs: Programs) -> None:
        self.capacity = capacity
        self._config = config
        self._weights = weights
        self._programs = programs
        self._prefill_buckets = span_sizes(capacity.max_prefill_tokens, config)
        self._decode_buckets = row_counts(config)
        self._sample_buckets = sample_buckets(capacity.num_slots)
        self._variants = np.zeros(capacity.num_slots, np.int8)  # the least that serves each slot
        self._asks_logprobs = np.zeros(capacity.num_slots, bool)
        self._no_masks = {size: _no_masks(size, config) for size in {*self._decode_buckets, *self._sample_buckets}}
        self._packed_slots: tuple[np.ndarray, np.ndarray] | None = None  # of the last decode, and as it was packed
        self._caches: Any
        self._state: Any
        self._rules: Any
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
        devices = devices_for(options.tensor_parallel_size)
        compile_counter()
        disable_jax_cache()
        formats = packed_formats(checkpoint, options, device=devices[0])
        capacity, config = plan_engine(checkpoint, options, device=devices[0], formats=formats)
        on_progress("loading weights")
        start = time.monotonic()
        if config.num_devices == 1:
            weights = load_weights(checkpoint, dtype=config.dtype, device=devices[0], formats=formats)
        else:
            weights = load_shards(checkpoint, dtype=config.dtype, mesh=mesh_of(config.num_devices))
        if blocks := told_blocks(checkpoint, formats, dtype=config.dtype.name):
            log.info("blocks of %s: %s", checkpoint.path.name, blocks)
        log.info("loaded %s (%s) in %.1f s", checkpoint.path, checkpoint.architecture, time.monotonic() - start)
        store = ProgramStore(options.compile_cache or default_cache_folder(), config, weights, device=devices[0])
        keys = program_keys(capacity, config)
        programs = compile_programs(keys, config, weights, store=store, on_progress=on_progress)
        check_temporaries(programs, cache_bytes=cache_bytes(config), device=devices[0], num_devices=config.num_devices)
        if config.num_devices > 1 and devices[0].platform == "cpu":
            programs = {key: one_at_a_time(program) for key, program in programs.items()}
        give_back_free_memory()
        return cls(capacity=capacity, config=config, weights=weights, programs=programs)

    @property
    def dtype(self) -> str:
        """Of weights and cache, as "float32"."""
        return str(self._config.dtype)

    @property
    def weight_dtype(self) -> str:
        """Of the matrices, as "int8"."""
        leaves = jax.tree.leaves(self._weights, is_leaf=lambda leaf: isinstance(leaf, PackedMatrix))
        return told_dtype(leaf.format for leaf in leaves if isinstance(leaf, PackedMatrix)) or self.dtype

    @property
    def num_compiles_after_ready(self) -> int:
        """Executables that this process has built since this runner was ready. Stays 0 in a server."""
        return compile_counter().count - self._num_compiles_at_ready

    def dispatch(self, plan: StepPlan) -> InFlightStep:
        """Starts a step: a program for each span, and one for all rows that decode, or for these and the last span."""
        joins = {join.slot: join for join in plan.joins}
        for join in plan.joins:
            self._join(join)
        changes = {span.slot: [each for each in plan.block_tables if each.slot == span.slot] for span in plan.spans}
        of_decode = [each for each in plan.block_tables if each.slot not in changes]
        mixes, scores = self._mixes(plan), None
        rows: list[RowsResult] = []
        prompts: list[PromptResult] = []
        spans: list[jax.Array] = []
        pooled: list[PooledResult] = []
        for span in plan.spans:
            packing = (span, joins.get(span.slot), changes[span.slot])
            if mixes and span is plan.spans[-1]:
                states, scores = self._mixed(*packing, plan.decode_slots, of_decode)
            else:
                states = self._prefill(*packing)
            spans.append(states.last)
            if Yields.TOKEN in span.yields:
                mask = None if plan.masks is None else plan.masks[len(rows) : len(rows) + 1]
                rows.append(self._first(span.slot, states.last, mask))
            if Yields.PROMPT_COLUMNS in span.yields:
                prompts.append(self._score(span, states.blocks))
            if Yields.POOLED in span.yields:
                pooled.append(PooledResult(states.pooled, span.row_key, span.start, len(span.tokens)))
        if len(plan.decode_slots):
            masks = None if plan.masks is None else plan.masks[len(rows) :]
            rows.append(
                self._decode(plan.decode_slots, plan.tokens_per_dispatch, of_decode, masks)
                if scores is None
                else self._sample(plan.decode_slots, scores, masks)
            )
        return DispatchedPrograms(rows, prompts, spans, pooled)

    def _join(self, join: Join) -> None:
        self._variants[join.slot] = variant_of(join.params)
        self._asks_logprobs[join.slot] = RowUse.LOGPROBS in row_use(join.params)
        if join.rules is not None:
            self._put_rules(join.slot, pack_rules(join.rules, self._config.spec.vocab_size), join.made)

    def _put_rules(self, slot: int, words: np.ndarray, made: np.ndarray) -> None:
        """The rules of a slot, and what it has made before, NUM_COUNTED tokens at a time."""
        for start in range(0, max(len(made), 1), NUM_COUNTED):
            packed, parts = join_layout(self._config).zeros()
            parts["slot"][:], parts["is_first"][:], parts["words"][:], parts["made"][:] = slot, start == 0, words, -1
            counted = made[start : start + NUM_COUNTED]
            parts["made"][: len(counted)] = counted
            self._rules = self._programs[ProgramKey("rules")](self._rules, packed)

    def _prefill(self, span: Span, join: Join | None, changes: list[BlockTableChange]) -> SpanStates:
        """The hidden states of a span, as `prefill` of `penstock.engine.programs` gives them."""
        size = next(bucket for bucket in self._prefill_buckets if bucket >= len(span.tokens))
        packed, parts = span_layout(size, self._config).zeros()
        self._pack_span(parts, span, join, changes)
        states: SpanStates
        states, self._caches, self._state = self._programs[ProgramKey("prefill", size)](
            self._weights, self._caches, self._state, packed
        )
        return states

    def _mixes(self, plan: StepPlan) -> bool:
        """Whether the last span and the rows that decode are one program."""
        if not plan.spans or not len(plan.decode_slots) or not is_split(plan.tokens_per_dispatch, self._config):
            return False
        return len(plan.spans[-1].tokens) <= self._config.mixed_tokens

    def _mixed(
        self, span: Span, join: Join | None, changes: list[BlockTableChange], slots: np.ndarray,
        of_decode: list[BlockTableChange],
    ) -> tuple[SpanStates, jax.Array]:  # fmt: skip
        """A span's hidden states, and the logits of the rows that decode."""
        assert span.slot not in slots, "a row decodes in the step of its prompt's last span"
        size = next(bucket for bucket in self._sample_buckets if bucket >= len(slots))
        both, of_span, of_rows = mixed_layouts(size, self._config)
        packed, parts = both.zeros()
        self._pack_span(of_span.parts(parts["span"]), span, join, changes)
        rows = of_rows.parts(parts["decode"])
        rows["slots"][:] = self.capacity.num_slots
        rows["slots"][: len(slots)] = slots
        self._put_changes(rows, of_decode)
        states: SpanStates
        states, scores, self._caches, self._state = self._programs[ProgramKey("mixed", size)](
            self._weights, self._caches, self._state, packed
        )
        return states, scores

    def _pack_span(
        self, parts: dict[str, np.ndarray], span: Span, join: Join | None, changes: list[BlockTableChange]
    ) -> None:
        """As `span_layout`, all 0 before."""
        parts["slot"][:], parts["num_tokens"][:], parts["start"][:] = span.slot, len(span.tokens), span.start
        parts["yields"][:], parts["is_join"][:] = span.yields, join is not None
        parts["tokens"][: len(span.tokens)] = span.tokens
        if join is not None:
            parts["params"][:], parts["num_generated"][:], parts["recent"][:] = join.params, len(join.made), -1
            newest = join.made[-NUM_RECENT:]
            parts["recent"][NUM_RECENT - len(newest) :] = newest
        self._put_changes(parts, changes)

    def _first(self, slot: int, last: jax.Array, mask: np.ndarray | None) -> RowsResult:
        """The token after a prompt whose last hidden state is `last`."""
        scores = self._programs[ProgramKey("head", 1)](self._weights, last)
        return self._sample(np.array([slot], np.int32), scores, mask)

    def _sample(self, slots: np.ndarray, scores: jax.Array, masks: np.ndarray | None) -> RowsResult:
        """A token for each slot, by its logits; `scores` has rows of padding below."""
        size = len(scores)
        packed = np.full(size + 1, self.capacity.num_slots, np.int32)  # as `sample_layout`
        packed[: len(slots)], packed[size] = slots, masks is not None
        key = ProgramKey("sample", size, variant=self._variant(self._variants[slots].max(), masks))
        ids, columns, self._state, self._rules = self._programs[key](
            self._state, self._rules, scores, packed, self._whole_masks(masks, size)
        )
        return RowsResult(ids, len(slots), columns if self._asks_logprobs[slots].any() else None)

    def _score(self, span: Span, blocks: tuple[jax.Array, ...]) -> PromptResult:
        """Logprobs of the tokens that follow those of a span, block by block."""
        num_tokens = len(span.tokens)
        blocks = blocks[: num_score_blocks(num_tokens)]
        targets = np.full((len(blocks), SCORE_BLOCK), -1, np.int32)
        flat = targets.reshape(-1)
        flat[: num_tokens - 1], flat[num_tokens - 1] = span.tokens[1:], span.next_token
        score = self._programs[ProgramKey("score", SCORE_BLOCK)]
        words = tuple(score(self._weights, *block) for block in zip(blocks, targets, strict=True))
        return PromptResult(words, span.row_key, span.start, num_tokens if span.next_token >= 0 else num_tokens - 1)

    def _decode(
        self, slots: np.ndarray, tokens: int, changes: list[BlockTableChange], masks: np.ndarray | None
    ) -> RowsResult:
        size = next(bucket for bucket in self._decode_buckets if bucket >= len(slots))
        if is_split(tokens, self._config):
            packed = self._pack_decode(slots, size, changes, has_masks=False)
            scores, self._caches, self._state = self._programs[ProgramKey("advance", size)](
                self._weights, self._caches, self._state, packed
            )
            return self._sample(slots, scores, masks)
        key = ProgramKey("decode", size, tokens, self._variant(self._variants[slots].max(), masks))
        packed = self._pack_decode(slots, size, changes, has_masks=masks is not None)
        ids, columns, self._caches, self._state, self._rules = self._programs[key](
            self._weights, self._caches, self._state, self._rules, packed, self._whole_masks(masks, size)
        )
        return RowsResult(ids, len(slots), columns if self._asks_logprobs[slots].any() else None)

    def _whole_masks(self, masks: np.ndarray | None, num_rows: int) -> jax.Array | np.ndarray:
        """`masks` for all rows of a program; those beyond the step's are of no slot."""
        return self._no_masks[num_rows] if masks is None else np.pad(masks, ((0, num_rows - len(masks)), (0, 0)))

    def _variant(self, of_rows: int, masks: np.ndarray | None) -> Variant:
        return Variant.FULL if self._config.is_dynamic or masks is not None else Variant(of_rows)

    def _pack_decode(
        self, slots: np.ndarray, size: int, changes: list[BlockTableChange], *, has_masks: bool
    ) -> np.ndarray:
        """As `decode_layout`. Steady decode names the same array of slots again and again: it is packed once."""
        is_steady = not changes and not has_masks
        if is_steady and self._packed_slots is not None and self._packed_slots[0] is slots:
            return self._packed_slots[1]
        packed, parts = decode_layout(size, self._config).zeros()
        parts["slots"][:] = self.capacity.num_slots
        parts["slots"][: len(slots)] = slots
        parts["has_masks"][:] = has_masks
        self._put_changes(parts, changes)
        self._packed_slots = (slots, packed) if is_steady else None
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
        self._caches = self._state = self._rules = None  # freed before the new ones are there
        self._caches, self._state, self._rules = self._programs[ProgramKey("fresh")]()


def _no_masks(num_rows: int, config: ProgramConfig) -> jax.Array:
    """Masks that forbid nothing: they stay on the devices for all steps without any."""
    masks = np.full((num_rows, config.num_mask_words), 0xFFFFFFFF, np.uint32)
    where = jax.devices()[0] if config.num_devices == 1 else NamedSharding(mesh_of(config.num_devices), WHOLE)
    on_devices: jax.Array = jax.device_put(masks, where)
    return on_devices
