"""What scheduler and runner say to each other: one `StepPlan` down, one `StepOutput` up. No jax here, so a fake runner
needs none."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntFlag
from pathlib import Path
from typing import Protocol

import numpy as np

from penstock.generation import SamplingParams

#: How a row ended, in `StepOutput.ends`. END_ERROR: its logits were not numbers.
END_NONE, END_STOP, END_LENGTH, END_ERROR = 0, 1, 2, 3

#: Entries of one block table that may change in a step in which its row decodes. (A row that decodes grows by at most
#: `Capacity.tokens_per_dispatch` tokens: 32 are two of the smallest pages.) A table whose row has a span may change at
#: will.
MAX_TABLE_CHANGES_PER_ROW = 2

#: The likeliest tokens that logprobs are given of, whoever asks for fewer (OpenAI's `top_logprobs` ends there).
NUM_TOP_LOGPROBS = 20


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What an operator can choose; None takes the platform's default.

    Attributes:
        dtype: of weights and hidden states, "float32" or "bfloat16".
        weight_dtype: of the matrices that kernels multiply by: "float32", "bfloat16", "int8" or "int4".
        kv_cache_dtype: of the KV cache; None: as `dtype`.
        max_model_len: prompt and new tokens of one sequence together.
        max_num_seqs: slots.
        kv_cache_memory: bytes for the KV cache, of each device.
        max_prefill_tokens: longest span of a prompt.
        max_prefill_tokens_beside: of all prompts together in a step in which rows decode.
        tokens_per_dispatch: tokens that one decode call can compute when nobody waits to join.
        pipeline_depth: steps in flight.
        compile_cache: folder of compiled programs.
        tensor_parallel_size: devices that the model is split over.
        cpu_kernels: matrix products by our own kernels, on one CPU device; else XLA's.
        cpu_isa: the kernels' instruction set.
    """

    dtype: str | None = None
    weight_dtype: str | None = None
    kv_cache_dtype: str | None = None
    max_model_len: int | None = None
    max_num_seqs: int = 32
    kv_cache_memory: int | None = None
    max_prefill_tokens: int | None = None
    max_prefill_tokens_beside: int | None = None
    tokens_per_dispatch: int | None = None
    pipeline_depth: int | None = None
    compile_cache: Path | None = None
    tensor_parallel_size: int = 1
    cpu_kernels: bool = True
    cpu_isa: str = "auto"


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a loaded engine holds.

    Attributes:
        num_pages: of each page group, which has a block table of its own; the usable ones have the ids 1 to that
            number, page 0 takes the writes that nobody reads.
        page_size: tokens per page.
        max_prefill_tokens_beside: of all prompts together in a step in which rows decode, at most
            `max_prefill_tokens`; None: as many.
        is_mixed: a span and the rows that decode are computed together, so a sequence does not decode in the step of
            its prompt's last span.
        windows: for each page group how many positions a token sees at most, itself included; None: all before it.
        max_spans: of one step. A span costs a dispatch and a pass over the weights however short it is; more of them
            would hold decode up.
        span_sizes: to which spans are padded, ascending; the last one is `max_prefill_tokens`. Empty: none is.
        length_borders: some layers compute other keys of the same tokens where the prompt is longer than one of these.
    """

    num_slots: int
    num_pages: tuple[int, ...]
    page_size: int
    max_model_len: int
    max_prefill_tokens: int
    tokens_per_dispatch: int
    pipeline_depth: int
    max_prefill_tokens_beside: int | None = None
    is_mixed: bool = False
    windows: tuple[int | None, ...] = (None,)
    max_spans: int = 8
    span_sizes: tuple[int, ...] = ()
    length_borders: tuple[int, ...] = ()

    @property
    def mixed_tokens(self) -> int:
        """Of a span that rows decode beside in one program; 0: none does, as where there is one slot."""
        if not self.is_mixed or self.num_slots == 1:
            return 0
        return self.max_prefill_tokens_beside or self.max_prefill_tokens

    @property
    def num_page_groups(self) -> int:
        """Block tables per sequence."""
        return len(self.num_pages)

    @property
    def max_span(self) -> int:
        """Tokens that one step stores of a sequence at most: a span and the token after it, or a decode."""
        return max(self.max_prefill_tokens + 1, self.tokens_per_dispatch)


class Yields(IntFlag):
    """What a span gives beside the keys and values that it stores. The last one of a prompt may give several things."""

    NOTHING = 0
    TOKEN = 1  # the first new token; the row decodes from then on
    PROMPT_COLUMNS = 2  # logprobs of the prompt's tokens that follow those of the span
    POOLED = 4  # what an embedding is made of; no token, so the row never decodes


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What a row asks of single tokens, and the tokens that its penalties count from the start: too much for its
    parameters, and nothing for most rows.

    Attributes:
        sampling: of which `logit_bias`, `allowed_token_ids` and `bad_word_ids` are read.
        prompt_ids: int32 [T], the whole prompt.
    """

    sampling: SamplingParams
    prompt_ids: np.ndarray


NO_TOKENS = np.empty(0, np.int32)


@dataclass(slots=True, eq=False)  # not frozen: that takes five times as long to make
class Join:
    """A sequence takes a slot, whatever the slot held before. Its first span is in the same plan; it need not begin at
    position 0, as pages may hold the first tokens already.

    Attributes:
        params: int32 [`row_parameters.ROW_SIZE`], of `pack_row`.
        rules: where `params` say that the row uses some.
        made: int32 [N], the new tokens that it has made already, in another slot or before; they are the last ones of
            its spans. It goes on as if it had never stopped.
    """

    slot: int
    params: np.ndarray
    rules: TokenRules | None = None
    made: np.ndarray = field(default_factory=lambda: NO_TOKENS)


@dataclass(slots=True, eq=False)  # not frozen: that takes five times as long to make
class Span:
    """Consecutive tokens of one sequence's prompt, and of what it has made where it goes on.

    Attributes:
        tokens: int32 [T], 1 to `Capacity.max_prefill_tokens`.
        start: position of `tokens[0]`; what stands before is in the pages of the block tables.
        next_token: the prompt's token after these, -1 where they are its last.
        row_key: whose `PromptColumns` these are.
    """

    slot: int
    tokens: np.ndarray
    start: int
    yields: Yields
    next_token: int = -1
    row_key: int = 0


@dataclass(slots=True, eq=False)  # not frozen: that takes five times as long to make
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
        masks: uint32 [R, ceil(V / 32)], allowed tokens of each row of the `StepOutput`; token t is bit t % 32 of word
            t // 32. Such a plan makes one token per row. None: all tokens of all rows.
        row_keys: uint64 [R], whose the rows of the `StepOutput` are: the hub's names of the sequences. They stay with
            the step, as its slots may be somebody else's when it is fetched. A key may appear twice.
    """

    joins: tuple[Join, ...]
    spans: tuple[Span, ...]
    block_tables: tuple[BlockTableChange, ...]
    decode_slots: np.ndarray
    tokens_per_dispatch: int = 1
    masks: np.ndarray | None = None
    row_keys: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))

    @property
    def is_empty(self) -> bool:
        """Nothing to dispatch."""
        return not self.spans and not len(self.decode_slots)


@dataclass(frozen=True, slots=True)
class LogprobColumns:
    """Natural logarithms of probabilities, of the raw logits: before masks, rules, penalties and temperature. Of rows
    that did not ask, and where a row made no token, the numbers mean nothing. All C-contiguous.

    Attributes:
        sampled: float32 [R, N], of the tokens in `StepOutput.ids`.
        top_ids: int32 [R, N, K], the K = NUM_TOP_LOGPROBS likeliest tokens, best first; -1 where the vocabulary ends.
        top: float32 [R, N, K], theirs.
        ranks: int32 [R, N], 1 and how many tokens are likelier than the one that was made.
    """

    sampled: np.ndarray
    top_ids: np.ndarray
    top: np.ndarray
    ranks: np.ndarray


@dataclass(frozen=True, slots=True)
class PromptColumns:
    """Logprobs of the prompt's tokens `start + 1` to `start + T`, given what stands before them. (The first token of a
    prompt has none.) The columns are those of `LogprobColumns`.

    Attributes:
        row_key: whose prompt it is.
        sampled: float32 [T]; top_ids: int32 [T, K]; top: float32 [T, K]; ranks: int32 [T].
    """

    row_key: int
    start: int
    sampled: np.ndarray
    top_ids: np.ndarray
    top: np.ndarray
    ranks: np.ndarray


@dataclass(frozen=True, slots=True)
class PooledColumns:
    """Hidden states of one span, after the model's last norm.

    Attributes:
        row_key: whose prompt it is.
        start: position of the span's first token; num_tokens: how many it has.
        states: float32 [3, D]: of its first token, of its last one, and the sum of all.
    """

    row_key: int
    start: int
    num_tokens: int
    states: np.ndarray


@dataclass(frozen=True, slots=True)
class StepOutput:
    """What came of a plan, in named columns: a row for each span that yields a token, in order, then one for each of
    `decode_slots`, in order. A column that nobody asked for is None.

    Attributes:
        ids: int32 [R, N], C-contiguous, -1 for none. A stop token is in it.
        ends: uint8 [R], END_*.
        logprobs: where a row of the step asked.
        prompt_columns: of the spans that yield some, in order.
        pooled: of the spans that yield it, in order.
    """

    ids: np.ndarray
    ends: np.ndarray
    logprobs: LogprobColumns | None = None
    prompt_columns: tuple[PromptColumns, ...] | None = None
    pooled: tuple[PooledColumns, ...] | None = None


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
