"""Drives a Runner as a scheduler would: slots, pages in shuffled order, slices of any length."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from penstock.engine import PrefillSlice
from penstock.engine.runner import Runner


@dataclass(frozen=True)
class Sampling:
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    key: tuple[int, int] = (1, 2)


@dataclass
class Live:
    """A sequence in a slot."""

    slot: int
    pages: np.ndarray
    tokens: list[int] = field(default_factory=list)
    end: int = 0


class Driver:
    """Hands out slots and pages; pages come in random order, so that no sequence has them in a row."""

    def __init__(self, runner: Runner, *, seed: int = 0) -> None:
        self.runner = runner
        self.free_slots = list(range(runner.capacity.num_slots))
        self.free_pages = list(np.random.default_rng(seed).permutation(runner.capacity.num_pages) + 1)

    def start(
        self,
        ids: Sequence[int] | np.ndarray,
        *,
        max_new: int,
        slices: Iterable[int] = (),
        sampling: Sampling | None = None,
        stop_ids: tuple[int, ...] = (),
        slot: int | None = None,
    ) -> Live:
        """Prefills `ids` in slices of the given lengths, then of the longest, and takes the first token."""
        ids, sampling = np.asarray(ids, np.int32), sampling or Sampling()
        num_pages = -(-(len(ids) + max_new) // self.runner.capacity.page_size)
        pages = np.array([self.free_pages.pop() for _ in range(num_pages)], np.int32)
        live = Live(self.free_slots.pop(0) if slot is None else slot, pages)
        if slot is not None:
            self.free_slots.remove(slot)
        begin, lengths = 0, iter(slices)
        while begin < len(ids):
            end = min(begin + next(lengths, self.runner.capacity.max_prefill_tokens), len(ids))
            piece = PrefillSlice(
                slot=live.slot,
                tokens=ids[begin:end],
                start=begin,
                pages=pages,
                is_last=end == len(ids),
                temperature=sampling.temperature,
                top_k=sampling.top_k,
                top_p=sampling.top_p,
                min_p=sampling.min_p,
                key=sampling.key,
                max_new_tokens=max_new,
                stop_ids=stop_ids,
            )
            result = self.runner.prefill(piece)
            begin = end
        new, ends = result.fetch()
        self._take(live, new[0], ends[0])
        return live

    def step(self, lives: Sequence[Live], *, tokens: int = 1) -> None:
        """One decode dispatch over the slots of `lives`, ended ones included."""
        slots = np.array([live.slot for live in lives], np.int32)
        ids, ends = self.runner.decode(slots, tokens=tokens).fetch()
        assert ids.shape == (len(lives), tokens)
        for live, row, end in zip(lives, ids, ends, strict=True):
            self._take(live, row, end)

    def finish(self, lives: Sequence[Live], *, tokens: int = 1) -> list[list[int]]:
        """Decodes until every sequence has ended; returns their tokens and takes back slots and pages."""
        while any(live.end == 0 for live in lives):
            self.step([live for live in lives if live.end == 0], tokens=tokens)
        for live in lives:
            self.drop(live)
        return [live.tokens for live in lives]

    def drop(self, live: Live) -> None:
        """Frees a sequence wherever it stands: nothing is said to the device."""
        self.free_slots.append(live.slot)
        self.free_pages += list(live.pages)

    @staticmethod
    def _take(live: Live, row: np.ndarray, end: int) -> None:
        live.tokens += [int(token) for token in row if token >= 0]
        live.end = live.end or int(end)
