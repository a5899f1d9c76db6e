"""Drives a JaxRunner as a scheduler would: slots, pages in shuffled order, spans of any length."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from penstock.engine import BlockTableChange, Join, PromptColumns, Span, StepOutput, StepPlan, TokenRules, Yields
from penstock.engine.page_plan import first_page_seen
from penstock.engine.row_parameters import pack_row
from penstock.engine.runner import JaxRunner
from penstock.generation import SamplingParams

GREEDY = SamplingParams(temperature=0.0)
NO_SLOTS = np.empty(0, np.int32)


@dataclass
class Live:
    """A sequence in a slot."""

    slot: int
    pages: np.ndarray  # of the first page group
    num_stored: int
    num_pages: int = 0  # of `pages`, those that the device knows
    windowed: dict[int, dict[int, int]] = field(default_factory=dict)  # pages of groups with a window, by their place
    tokens: list[int] = field(default_factory=list)
    end: int = 0
    outputs: list[tuple[StepOutput, int]] = field(default_factory=list)  # and which row of it is this sequence's
    prompt_columns: list[PromptColumns] = field(default_factory=list)


class Driver:
    """Hands out slots and pages; pages come in random order, so that no sequence has them in a row. Page groups with a
    window get what it needs, and give back what it has passed."""

    def __init__(self, runner: JaxRunner, *, seed: int = 0) -> None:
        self.runner = runner
        self.free_slots = list(range(runner.capacity.num_slots))
        rng = np.random.default_rng(seed)
        self.free_of_groups = [list(rng.permutation(num) + 1) for num in runner.capacity.num_pages]

    @property
    def free_pages(self) -> list[int]:
        """Of the first group."""
        return self.free_of_groups[0]

    @free_pages.setter
    def free_pages(self, pages: list[int]) -> None:
        self.free_of_groups[0] = pages

    def start(
        self,
        ids: Sequence[int] | np.ndarray,
        *,
        max_new: int,
        spans: Iterable[int] = (),
        sampling: SamplingParams = GREEDY,
        rng_key: tuple[int, int] = (1, 2),
        stop_ids: tuple[int, ...] = (),
        slot: int | None = None,
        pages_at_once: bool = True,
        beside: Sequence[Live] = (),
    ) -> Live:
        """Prefills `ids` in spans of the given lengths, then of the longest, and takes the first token.

        Args:
            pages_at_once: give the row all its pages now, or each only when its first token is about to be stored.
            beside: rows that decode a token in the step of each span.
        """
        ids = np.asarray(ids, np.int32)
        num_pages = -(-(len(ids) + max_new) // self.runner.capacity.page_size)
        num_taken = 0 if self.runner.capacity.windows[0] else num_pages
        pages = np.array([self.free_pages.pop() for _ in range(num_taken)], np.int32)
        live = Live(self.free_slots.pop(0) if slot is None else slot, pages, num_stored=0)
        if slot is not None:
            self.free_slots.remove(slot)
        row = {"sampling": sampling, "rng_key": rng_key, "stop_ids": stop_ids, "prompt_length": len(ids)}
        params = self.params(max_new=max_new, **row)
        joins, lengths = (Join(live.slot, params, TokenRules(sampling, ids)),), iter(spans)
        while live.num_stored < len(ids):
            begin = live.num_stored
            end = min(begin + next(lengths, self.runner.capacity.max_prefill_tokens), len(ids))
            yields = Yields.TOKEN if end == len(ids) else Yields.NOTHING
            if sampling.prompt_logprobs is not None:
                yields |= Yields.PROMPT_COLUMNS
            next_token = -1 if end == len(ids) else int(ids[end])
            span = Span(live.slot, ids[begin:end], begin, yields, next_token, row_key=live.slot)
            changes = self._pages_for(live, num_pages * self.runner.capacity.page_size if pages_at_once else end)
            changes += self._windowed_pages_for(live, end)
            slots, of_decode = self._decode(beside, tokens=1)
            output = self.runner.dispatch(StepPlan(joins, (span,), (*changes, *of_decode), slots)).fetch()
            live.num_stored, joins = end, ()
            num_first = int(Yields.TOKEN in yields)
            assert len(output.ids) == len(output.ends) == num_first + len(beside)
            self._take_step(beside, output, num_first, tokens=1)
            live.prompt_columns += output.prompt_columns or ()
        self._take(live, output, 0)
        return live

    @staticmethod
    def params(
        *,
        max_new: int,
        sampling: SamplingParams = GREEDY,
        rng_key: tuple[int, int] = (1, 2),
        stop_ids: tuple[int, ...] = (),
        prompt_length: int = 0,
    ) -> np.ndarray:
        sampling = replace(sampling, max_tokens=max_new)
        return pack_row(sampling, rng_key=rng_key, stop_ids=stop_ids, prompt_length=prompt_length)

    def _pages_for(self, live: Live, num_tokens: int) -> tuple[BlockTableChange, ...]:
        """The pages that a sequence lacks to store `num_tokens` tokens."""
        first, end = live.num_pages, min(-(-num_tokens // self.runner.capacity.page_size), len(live.pages))
        live.num_pages = max(first, end)
        return (BlockTableChange(live.slot, 0, first, live.pages[first:end]),) if end > first else ()

    def _windowed_pages_for(self, live: Live, end: int) -> tuple[BlockTableChange, ...]:
        """Pages of the groups with a window, for tokens up to position `end`."""
        size, changes = self.runner.capacity.page_size, []
        for group, window in enumerate(self.runner.capacity.windows):
            if window is None:
                continue
            held, free = live.windowed.setdefault(group, {}), self.free_of_groups[group]
            first = first_page_seen(live.num_stored, window, size)
            free += [held.pop(place) for place in [*held] if place < first]
            for place in range(first, -(-end // size)):
                if place not in held:
                    held[place] = free.pop()
                    changes.append(BlockTableChange(live.slot, group, place, np.array([held[place]], np.int32)))
        return tuple(changes)

    def step(self, lives: Sequence[Live], *, tokens: int = 1) -> None:
        """One decode dispatch over the slots of `lives`, ended ones included."""
        slots, changes = self._decode(lives, tokens=tokens)
        output = self.runner.dispatch(StepPlan((), (), changes, slots, tokens)).fetch()
        assert output.ids.shape == (len(lives), tokens)
        assert output.ids.flags.c_contiguous
        self._take_step(lives, output, 0, tokens=tokens)

    def _decode(self, lives: Sequence[Live], *, tokens: int) -> tuple[np.ndarray, tuple[BlockTableChange, ...]]:
        """The slots of `lives`, and the pages that their next tokens need."""
        ends = [live.num_stored + tokens for live in lives]
        changes = [change for live, end in zip(lives, ends, strict=True) for change in self._pages_for(live, end)]
        for live, end in zip(lives, ends, strict=True):
            changes += self._windowed_pages_for(live, end)
        return np.array([live.slot for live in lives], np.int32), tuple(changes)

    def _take_step(self, lives: Sequence[Live], output: StepOutput, first: int, *, tokens: int) -> None:
        """What a step made of `lives`, whose rows begin at `first`."""
        for row, live in enumerate(lives, first):
            live.num_stored += tokens
            self._take(live, output, row)

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
        for group, held in live.windowed.items():
            self.free_of_groups[group] += held.values()
        live.windowed = {}

    @staticmethod
    def _take(live: Live, output: StepOutput, row: int) -> None:
        live.tokens += [int(token) for token in output.ids[row] if token >= 0]
        live.end = live.end or int(output.ends[row])
        live.outputs.append((output, row))
