"""What is written down for the device: joins, spans, block tables, and who begins with a step."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from penstock.engine.interface import BlockTableChange, Join, Span, StepPlan, TokenRules, Yields
from penstock.engine.row_parameters import has_rules, pack_row
from penstock.scheduler.prompt_line import PromptLine
from penstock.scheduler.seats import Seats
from penstock.scheduler.sequence import Sequence

if TYPE_CHECKING:
    from penstock.generation import SamplingParams

# Looked up here: on a class of an enum that takes as long as making a span.
_TOKEN, _NOTHING = Yields.TOKEN, Yields.NOTHING

#: Sequences and how many tokens of their prompts are computed.
Chosen = list[tuple[Sequence, int]]


class Newcomer(NamedTuple):
    """A sequence that begins, as the hub is told.

    Attributes:
        num_cached_tokens: of its prompt, that the cache had, of the `num_queried_tokens` that were looked for.
        cache_exit: `CacheReport.reason`, where its request asked.
    """

    row_key: int
    num_cached_tokens: int
    num_queried_tokens: int
    cache_exit: str | None


class PlannedStep(NamedTuple):
    """What a step does.

    Attributes:
        plan: of the rows that nothing constrains, and of all prompts but the last spans of the others.
        newcomers: who begins.
        constrained_plan: the constrained rows whose masks are ready, with their masks. It is dispatched first.
        complete: row keys of constrained rows whose text is whole.
        failed: row keys of constrained rows that can go no further, and why.
    """

    plan: StepPlan
    newcomers: list[Newcomer]
    constrained_plan: StepPlan | None = None
    complete: Collection[int] = ()
    failed: Collection[tuple[int, str]] = ()


class PlanWriter:
    """Writes plans, and keeps count of what they will have done.

    Args:
        stop_ids: the model's own stop tokens.
    """

    def __init__(self, seats: Seats, line: PromptLine, *, stop_ids: tuple[int, ...]) -> None:
        self._seats = seats
        self._line = line
        self._stop_ids = tuple(dict.fromkeys(stop_ids))

    def step(self, chosen: Chosen, spans: tuple[Span, ...], slots: np.ndarray, row_keys: np.ndarray) -> PlannedStep:
        """A step of the spans that were cut of `chosen`, and of one token for each of `slots`."""
        joining = [sequence for sequence, _ in chosen if not sequence.is_joined]
        starts = {span.slot: span.start for span in spans}
        newcomers = [self._newcomer(each, starts[each.slot]) for each in joining if not each.is_scheduled]
        plan = StepPlan(
            joins=tuple(self._join(sequence) for sequence in joining),
            spans=spans,
            block_tables=self.changes(spans, slots),
            decode_slots=slots,
            row_keys=row_keys,
        )
        self._seats.progress.advance(slots, 1)
        for sequence in joining:
            sequence.is_joined = sequence.is_scheduled = True
        return PlannedStep(plan, newcomers)

    def _newcomer(self, sequence: Sequence, num_cached: int) -> Newcomer:
        reads = self._seats.cache.is_on and not sequence.generation.needs_all_states
        num_queried = len(sequence.prompt_ids) if reads else 0
        return Newcomer(sequence.row_key, num_cached, num_queried, sequence.cache_exit)

    def changes(self, spans: tuple[Span, ...], slots: np.ndarray) -> tuple[BlockTableChange, ...]:
        """What the device has not been told of the block tables of those who run."""
        tables = self._seats.tables
        if not tables.has_untold:
            return ()
        return tuple(tables.changes([*(span.slot for span in spans), *slots.tolist()]))

    def cut(self, sequence: Sequence, num_tokens: int) -> Span:
        """The next span of a prompt. Who gets the last one of its prompt decodes from now on."""
        start = sequence.num_prefilled
        end = sequence.num_prefilled = start + num_tokens
        is_last = sequence.num_to_prefill == 0
        self._seats.advance(sequence)
        if is_last:
            self._line.stop(sequence)
            if not sequence.is_pooled:
                self._seats.batch.start_decoding(sequence.slot, is_constrained=sequence.is_constrained)
        tokens = sequence.input_ids[start:end]
        yields = _TOKEN if is_last and not sequence.is_pooled else _NOTHING
        if not sequence.wants_states or start < sequence.num_told or start >= len(sequence.prompt_ids):
            return Span(sequence.slot, tokens, start, yields)
        sequence.num_told = end
        if sequence.is_pooled:
            return Span(sequence.slot, tokens, start, Yields.POOLED, row_key=sequence.row_key)
        next_token = -1 if end == len(sequence.prompt_ids) else int(sequence.prompt_ids[end])
        yields |= Yields.PROMPT_COLUMNS
        return Span(sequence.slot, tokens, start, yields, next_token=next_token, row_key=sequence.row_key)

    def _join(self, sequence: Sequence) -> Join:
        sampling = sequence.generation.request.sampling
        params = pack_row(
            sampling,
            rng_key=sequence.rng_key,
            stop_ids=self.stop_ids_of(sampling),
            prompt_length=len(sequence.prompt_ids),
        )
        rules = TokenRules(sampling, sequence.prompt_ids) if has_rules(params) else None
        return Join(sequence.slot, params, rules, sequence.made_ids)

    def stop_ids_of(self, sampling: SamplingParams) -> tuple[int, ...]:
        """The model's stop tokens, unless a request ignores them, and the request's own, each once."""
        of_the_model = () if sampling.ignore_eos else self._stop_ids
        if not sampling.stop_token_ids:
            return of_the_model
        return tuple(dict.fromkeys(of_the_model + sampling.stop_token_ids))
