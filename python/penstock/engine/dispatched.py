"""A step on its way: what its programs give, fetched and put together as one `StepOutput`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np

from penstock.engine.interface import LogprobColumns, PooledColumns, PromptColumns, StepOutput
from penstock.engine.logprobs import COLUMNS, read_words

_NO_ROWS = np.empty((0, 2), np.int32)


@dataclass(frozen=True, slots=True)
class RowsResult:
    """Of one program, whose first `num_rows` rows are the step's.

    Attributes:
        ids_and_ends: int32 [bucket, N + 1].
        columns: int32 [bucket, N, COLUMNS.num_words], where a row asks for logprobs.
    """

    ids_and_ends: jax.Array
    num_rows: int
    columns: jax.Array | None


@dataclass(frozen=True, slots=True)
class PromptResult:
    """Of a span that yields prompt columns.

    Attributes:
        words: of each block int32 [SCORE_BLOCK, COLUMNS.num_words]; the first `num_tokens` of all count.
    """

    words: tuple[jax.Array, ...]
    row_key: int
    start: int
    num_tokens: int


@dataclass(frozen=True, slots=True)
class PooledResult:
    """Of a span that yields its pooled states.

    Attributes:
        states: float32 [3, D].
    """

    states: jax.Array
    row_key: int
    start: int
    num_tokens: int

    def read(self) -> PooledColumns:
        return PooledColumns(self.row_key, self.start, self.num_tokens, np.asarray(self.states))


class DispatchedPrograms:
    """An `InFlightStep`. What it will fetch is on its way to the host from the start.

    Args:
        rows: of the programs, in the order of the step's rows.
        spans: what each span gave, to wait for where there is no row.
    """

    def __init__(
        self, rows: list[RowsResult], prompts: list[PromptResult], spans: list[jax.Array], pooled: list[PooledResult]
    ) -> None:
        self._rows = rows
        self._pooled = pooled
        self._spans = spans
        self._prompts = prompts
        for row in rows:
            row.ids_and_ends.copy_to_host_async()
            if row.columns is not None:
                row.columns.copy_to_host_async()
        for prompt in prompts:
            for words in prompt.words:
                words.copy_to_host_async()
        for each in pooled:
            each.states.copy_to_host_async()

    def fetch(self) -> StepOutput:
        if not self._rows:
            jax.block_until_ready(self._spans)  # type: ignore[no-untyped-call]  # jax has no types here
        parts = [np.asarray(row.ids_and_ends)[: row.num_rows] for row in self._rows] or [_NO_ROWS]
        whole = parts[0] if len(parts) == 1 else _stacked(parts)
        ids, ends = np.ascontiguousarray(whole[:, :-1]), whole[:, -1].astype(np.uint8)
        logprobs = self._logprobs(ids.shape) if any(row.columns is not None for row in self._rows) else None
        pooled = tuple(each.read() for each in self._pooled) or None
        return StepOutput(ids, ends, logprobs=logprobs, prompt_columns=self._prompt_columns(), pooled=pooled)

    def _logprobs(self, shape: tuple[int, ...]) -> LogprobColumns:
        words = np.zeros((*shape, COLUMNS.num_words), np.int32)
        start = 0
        for row in self._rows:
            if row.columns is not None:
                columns = np.asarray(row.columns)[: row.num_rows]
                words[start : start + row.num_rows, : columns.shape[1]] = columns
            start += row.num_rows
        return read_words(words)

    def _prompt_columns(self) -> tuple[PromptColumns, ...] | None:
        columns = [_read_prompt(prompt) for prompt in self._prompts]
        return tuple(columns) or None


def _read_prompt(prompt: PromptResult) -> PromptColumns:
    words = np.concatenate([np.asarray(words) for words in prompt.words])
    read = read_words(words[: prompt.num_tokens])
    return PromptColumns(prompt.row_key, prompt.start, read.sampled, read.top_ids, read.top, read.ranks)


def _stacked(parts: Sequence[np.ndarray]) -> np.ndarray:
    """[R, N + 1] arrays of several N one below the other; ids that a part lacks are -1."""
    width = max(part.shape[1] for part in parts)
    whole = np.full((sum(map(len, parts)), width), -1, np.int32)
    start = 0
    for part in parts:
        rows = whole[start : start + len(part)]
        rows[:, : part.shape[1] - 1], rows[:, -1] = part[:, :-1], part[:, -1]
        start += len(part)
    return whole
