"""What scheduler and runner say to each other. No jax here, so a fake runner needs none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

#: How a row ended, in `StepResult.fetch`.
END_NONE, END_STOP, END_LENGTH = 0, 1, 2


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What an operator can choose; None takes the platform's default.

    Attributes:
        dtype: of weights and cache, "float32" or "bfloat16".
        max_model_len: prompt and new tokens of one sequence together.
        max_num_seqs: slots.
        kv_cache_memory: bytes for the KV cache.
        max_prefill_tokens: longest prefill slice.
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
    """

    num_slots: int
    num_pages: int
    page_size: int
    max_model_len: int
    max_prefill_tokens: int
    tokens_per_dispatch: int
    pipeline_depth: int


@dataclass(frozen=True, slots=True)
class PrefillSlice:
    """One slice of one sequence's prompt.

    Attributes:
        tokens: int32 [T], T at most `Capacity.max_prefill_tokens`.
        start: position of `tokens[0]`.
        pages: int32, the page ids of the whole sequence in order.
        is_last: this slice samples the first new token and makes the slot active.
        temperature: 0 is greedy; top_k 0, top_p 1 and min_p 0 keep every token.
        key: two 32-bit words that the sequence's randomness comes from; the position is folded in on the device.
        max_new_tokens: the row ends by length after so many, the first included.
        stop_ids: at most MAX_STOP_IDS; the row ends by stop on any of them.
    """

    slot: int
    tokens: np.ndarray
    start: int
    pages: np.ndarray
    is_last: bool
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    key: tuple[int, int]
    max_new_tokens: int
    stop_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StepOutput:
    """What came of a step, in named columns, one row for each that was asked to give a token.

    Attributes:
        ids: int32 [R, N], C-contiguous, -1 for none. A stop token is in it.
        ends: uint8 [R], END_*.
    """

    ids: np.ndarray
    ends: np.ndarray


class StepResult(Protocol):
    """A step in flight."""

    def fetch(self) -> tuple[np.ndarray, np.ndarray]:
        """Waits for the step. ids: int32 [B, N], -1 for none; ends: uint8 [B], END_*. A stop token is in ids."""
