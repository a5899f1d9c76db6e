"""What scheduler and runner say to each other: one `StepPlan` down, one `StepOutput` up. No jax here, so a fake runner
needs none."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any, Protocol

import numpy as np

#: How a row ended, in `StepOutput.ends`. END_ERROR: its logits were not numbers.
END_NONE, END_STOP, END_LENGTH, END_ERROR = 0, 1, 2, 3

#: Entries of one block table that may change in a step in which its row decodes. (A row that decodes grows by at most
#: `Capacity.tokens_per_dispatch` tokens, which is less than a page.) A table whose row has a span may change at will.
MAX_TABLE_CHANGES_PER_ROW = 2


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What an operator can choose; None takes the platform's default.

    Attributes:
        dtype: of weights and cache, "float32" or "bfloat16".
        max_model_len: prompt and new tokens of one sequence together.
        max_num_seqs: slots.
        kv_cache_memory: bytes for the KV cache.
        max_prefill_tokens: longest span of a prompt.
        tokens_per_dispatch: tokens that one decode call can compute when nobody waits to join.
        pipeline_depth: steps in flight.
        compile_cache: folder of compiled programs.
    """

    dtype: str | None = None
    max_model_len: int | None = None
    max_num_seqs: int = 32
    kv_cache_memory: int | None = None
    max_prefill_tokens: int | None = None
    tokens_per_dispatch: int | None = None
    pipeline_depth: int | None = None
    compile_cache: Path | None = None


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a loaded engine holds.

    Attributes:
        num_pages: usable pages have the ids 1 to `num_pages`; page 0 takes the writes that nobody reads.
        page_size: tokens per page.
        num_page_groups: block tables per sequence.
        max_spans: of one step. A span costs a dispatch and a pass over the weights however short it is; more of them
            would hold decode up.
    """

    num_slots: int
    num_pages: int
    page_size: int
    max_model_len: int
    max_prefill_tokens: int
    tokens_per_dispatch: int
    pipeline_depth: int
    num_page_groups: int = 1
    max_spans: int = 8


class Yields(IntEnum):
    """What a span gives beside the keys and values that it stores."""

    NOTHING = 0
    TOKEN = 1  # the first new token; the row decodes from then on
    PROMPT_COLUMNS = 2  # logprobs of the prompt's tokens
    POOLED = 3  # an embedding


@dataclass(frozen=True, slots=True)
class Join:
    """A sequence takes a slot, whatever the slot held before. Its first span is in the same plan.

    Attributes:
        params: int32 [`row_parameters.ROW_SIZE`], of `pack_row`.
    """

    slot: int
    params: np.ndarray


@dataclass(frozen=True, slots=True)
class Span:
    """Consecutive tokens of one sequence's prompt.

    Attributes:
        tokens: int32 [T], 1 to `Capacity.max_prefill_tokens`.
        start: position of `tokens[0]`.
    """

    slot: int
    tokens: np.ndarray
    start: int
    yields: Yields


@dataclass(frozen=True, slots=True)
class BlockTableChange:
    """Entries `first` to `first + n` of a slot's block table become `pages`. The slot has a span in the same plan, or
    decodes in it (then at most MAX_TABLE_CHANGES_PER_ROW entries of each group change).

    Attributes:
        group: page group, below `Capacity.num_page_groups`.
        pages: int32 [n].
    """

    slot: int
    group: int
    first: int
    pages: np.ndarray


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One step's work, done in this order: joins and block tables, spans, then decode.

    Attributes:
        spans: at most one for each slot.
        decode_slots: int32 [B], of which each makes its next `tokens_per_dispatch` tokens. A slot may have both a span
            that yields a token and a place here: its second token follows at once.
        tokens_per_dispatch: 1 or `Capacity.tokens_per_dispatch`.
        masks: allowed tokens per row; not built yet.
        row_keys: uint64 [R], whose the rows of the `StepOutput` are: the hub's names of the sequences. They stay with
            the step, as its slots may be somebody else's when it is fetched. A key may appear twice.
    """

    joins: tuple[Join, ...]
    spans: tuple[Span, ...]
    block_tables: tuple[BlockTableChange, ...]
    decode_slots: np.ndarray
    tokens_per_dispatch: int = 1
    masks: Any = None
    row_keys: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))

    @property
    def is_empty(self) -> bool:
        """Nothing to dispatch."""
        return not self.spans and not len(self.decode_slots)


@dataclass(frozen=True, slots=True)
class StepOutput:
    """What came of a plan, in named columns: a row for each span that yields a token, in order, then one for each of
    `decode_slots`, in order. A column that nobody asked for is None.

    Attributes:
        ids: int32 [R, N], C-contiguous, -1 for none. A stop token is in it.
        ends: uint8 [R], END_*.
        logprobs, num_accepted, prompt_columns: not built yet.
    """

    ids: np.ndarray
    ends: np.ndarray
    logprobs: Any = None
    num_accepted: Any = None
    prompt_columns: Any = None


class InFlightStep(Protocol):
    """A step that was dispatched."""

    def fetch(self) -> StepOutput:
        """Waits for the step. Also for one without rows, so that a long prompt does not run ahead of its cancel."""


class Runner(Protocol):
    """The device side as the scheduler sees it. For one thread at a time."""

    capacity: Capacity

    def dispatch(self, plan: StepPlan) -> InFlightStep:
        """Starts a step, which sees what all earlier ones did."""

    def reset(self) -> None:
        """An empty cache and no sequence in any slot: after a step that failed."""
