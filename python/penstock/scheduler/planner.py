"""The policy: who gets a slot, which rows decode, how many tokens at once, and who gives way where pages run out.

Book-keeping of the host only: no device, no hub, no thread of its own.

- Who is next for a slot is said in `fair_order`, whose prompt gets on in a step in `prefill_budget`.
- A sequence takes pages as it grows: for its next span, and while it decodes for the next tokens. It is admitted when
  there are likely to be enough for it and for all that run (`page_forecast`); alone it always is.
- Where pages run out, `fair_order.who_gives_way` says who loses its slot and its pages: of the tenant whose request
  came last, the sequence of the greatest rank. It goes on later from what it has made, before what is new of its
  tenant. So somebody always ends by itself, and nothing can lock up. It happens only between steps: what is on its way
  is waited for, as its tokens count.
- What the cache has of a prompt is not computed (`prefix_cache`); other choices of a prompt wait until the first one's
  is in.
- Decode runs in every step, beside at most `max_prefill_tokens_beside` of prompts.
- Several tokens per dispatch only while nobody waits to join, as a newcomer would wait for all of them.
- Rows under a grammar are planned apart, one token each, when their last token is known and their next mask is ready:
  a late row sits out the step. The others neither wait for them nor make fewer tokens per dispatch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from penstock.engine.interface import (
    END_ERROR,
    END_LENGTH,
    Capacity,
    PooledColumns,
    StepPlan,
)
from penstock.scheduler.admission import Admission
from penstock.scheduler.constraints import Constraints
from penstock.scheduler.fair_order import Waiting, who_gives_way
from penstock.scheduler.plan_writer import Chosen, PlannedStep, PlanWriter
from penstock.scheduler.prompt_line import PromptLine
from penstock.scheduler.request_limits import check_fits, max_sequence_len
from penstock.scheduler.request_queue import RequestQueue
from penstock.scheduler.seats import Seats
from penstock.scheduler.sequence import Generation, Sequence

if TYPE_CHECKING:
    from penstock.generation import GenerationRequest


class Planner:
    """The sequences in slots, and what each does next.

    Args:
        capacity: what the engine has.
        queue: the requests that wait.
        stop_ids: the model's own stop tokens.
        num_grammar_threads: that compute masks.
        prefix_caching: whether prompts are looked up in a cache of pages.

    Attributes:
        num_preemptions: how often a sequence has lost its slot.
    """

    def __init__(
        self, capacity: Capacity, queue: RequestQueue, *,
        stop_ids: tuple[int, ...], num_grammar_threads: int = 2, prefix_caching: bool = True,
    ) -> None:  # fmt: skip
        self.queue = queue
        self.seats = Seats(capacity, prefix_caching=prefix_caching)
        self.constraints = Constraints(num_grammar_threads)
        self.num_preemptions = 0
        self._capacity = capacity
        self._max_sequence_len = max_sequence_len(capacity)
        self._batch = self.seats.batch
        self._admission = Admission(self.seats)
        queue.num_free_slots = self._batch.num_free
        queue.order.num_slots = capacity.num_slots
        queue.order.num_cache_tokens = max(capacity.num_pages) * capacity.page_size
        self._sequences: dict[int, Sequence] = {}  # in slots, by row key
        self._line = PromptLine(capacity, self.seats)
        self._writer = PlanWriter(self.seats, self._line, stop_ids=stop_ids)
        self._begun: dict[int, Generation] = {}  # by stream key, until the last choice has ended

    @property
    def num_running(self) -> int:
        """Sequences in slots."""
        return len(self._sequences)

    def check_fits(self, request: GenerationRequest) -> None:
        """Refuses what could never be admitted."""
        check_fits(request, limit=self._max_sequence_len, stop_ids=self._writer.stop_ids_of(request.sampling))

    # ---- who joins

    def admit(self) -> None:
        """Gives slots to those whose turn it is, as far as slots and pages go."""
        if not self.queue.num_choices or not self._batch.num_free():
            return
        self.seats.forecast.restart()
        while self._batch.num_free() and (waiting := self.queue.head(self._has_room)):
            if isinstance(waiting, Sequence):  # it goes on; its grammar has stayed where it was
                self.queue.resume(waiting)
                self._seat(waiting)
            elif (index := self.queue.begin_choice(waiting)) is not None:
                self._begin(waiting, index)

    def _has_room(self, waiting: Waiting) -> bool:
        return self._admission.has_room(waiting, num_running=len(self._sequences))

    def _begin(self, generation: Generation, index: int) -> None:
        row_key = generation.stream_key | index
        self._begun[generation.stream_key] = generation  # so that a failure from here on ends it
        sequence = Sequence.begin(generation, index)  # may fail, so before anything is taken
        request = generation.request
        prompt = request.prompts[index // request.sampling.num_computed]
        sequence.page_names = self.seats.cache.names_of(prompt, request.cache_salt)
        generation.sequences[row_key] = sequence
        self._seat(sequence)
        if (spec := generation.request.grammar) is not None:
            self.constraints.join(row_key, spec.grammar)

    def _seat(self, sequence: Sequence) -> None:
        leader = self._leader_of(sequence)
        self._sequences[sequence.row_key] = sequence
        self.queue.order.seat(sequence)
        self._line.sit(sequence, leader=leader)

    def _leader_of(self, sequence: Sequence) -> Sequence | None:
        """The first choice of the same prompt, while it computes what this one can take from the cache then."""
        generation = sequence.generation
        index, num_computed = sequence.row_key - generation.stream_key, generation.request.sampling.num_computed
        if index % num_computed == 0 or not sequence.page_names or sequence.num_findable < self._capacity.page_size:
            return None
        leader = self._sequences.get(sequence.row_key - index % num_computed)
        return None if leader is None or leader.num_to_prefill == 0 else leader

    # ---- who gives way

    def _make_room(self, sequence: Sequence, num_new: int, *, may_put_off: bool) -> bool:
        """Pages for `num_new` tokens of a sequence, at the cost of those of a greater rank, and at last its own. False
        where that must not be now."""
        while not self.seats.grow(sequence, num_new):
            if not may_put_off:
                return False
            last = who_gives_way(self._sequences.values())
            self._give_way(last)
            if last is sequence:
                break
        return True

    def _give_way(self, sequence: Sequence) -> None:
        self.num_preemptions += 1
        del self._sequences[sequence.row_key]
        self.queue.order.leave(sequence.row_key)
        self.seats.put_off(sequence)
        self._line.leave(sequence)
        self.queue.put_back(sequence)

    # ---- what runs

    def plan(self, *, may_wait: bool = False, may_put_off: bool = True) -> PlannedStep | None:
        """This step: spans of prompts, and the next token (or several) of every row whose prompt is in. None where
        somebody must give way first.

        When nobody decoded before, the newcomers' first tokens are not held up by their second.

        Args:
            may_wait: nothing is under way, so if nothing but masks is missing, they are waited for.
            may_put_off: nothing is under way, so somebody may give way.
        """
        num_new = self.tokens_per_dispatch()  # asked once: who waits may leave at any time, and pages are for so many
        if not self._grow_decoding(num_new, may_put_off=may_put_off):
            return None
        chosen = self._choose_spans(may_put_off=may_put_off) if len(self._line) else []
        if chosen is None:
            return None
        if self.constraints:
            return self._plan_apart(chosen, num_new, may_wait=may_wait)
        return self._plan_spans(chosen) if chosen else self._plan_decode(num_new)

    def _grow_decoding(self, num_new: int, *, may_put_off: bool) -> bool:
        """Pages for the next `num_new` tokens of all rows that decode; for one of those that are constrained."""
        progress, num_entries = self.seats.progress, self.seats.tables.num_entries
        slots = progress.lacking(self.decode_rows()[0], num_new, num_entries)
        if self.constraints:
            slots = np.concatenate([slots, progress.lacking(self._batch.constrained_rows()[0], 1, num_entries)])
        if not len(slots):
            return True
        short = [self._sequences[row_key] for row_key in self._batch.row_keys[slots].tolist()]
        for sequence in sorted(short, key=lambda each: each.rank):
            num_needed = 1 if sequence.is_constrained else num_new
            if sequence.slot >= 0 and not self._make_room(sequence, num_needed, may_put_off=may_put_off):
                return False
        return True

    def _choose_spans(self, *, may_put_off: bool) -> Chosen | None:
        """The prompts' share of this step, with pages for it and for the token after a prompt's last span."""
        chosen: Chosen = []
        for sequence, share in self._line.choose(is_beside=self._batch.num_decoding > 0):
            if sequence.slot < 0:  # it gave way to one before it
                continue
            if not sequence.is_joined:
                self.seats.find(sequence)
                if sequence.generation.request.wants_cache_report and not sequence.is_scheduled:
                    sequence.cache_exit = self.seats.report(sequence).reason
            num_tokens = sequence.num_of_span(share)
            is_last = num_tokens == sequence.num_to_prefill
            if not self.seats.grow(sequence, num_tokens + is_last):
                if sequence is not who_gives_way(self._sequences.values()):
                    if not self._make_room(sequence, num_tokens + is_last, may_put_off=may_put_off):
                        return None
                else:  # it waits for others to end, with what it has
                    num_tokens = min(num_tokens, self.seats.num_affordable(sequence) - 1)
                    if num_tokens > 0:
                        self.seats.grow(sequence, num_tokens)
            if num_tokens > 0:
                chosen.append((sequence, num_tokens))
        return [each for each in chosen if each[0].slot >= 0]

    def _plan_spans(self, chosen: Chosen) -> PlannedStep:
        """Spans, and decode of what decoded before, or of the newcomers too."""
        slots, row_keys = self.decode_rows()
        do_newcomers_decode = len(slots) > 0 and not self._capacity.is_mixed
        spans = tuple(self._writer.cut(sequence, num_tokens) for sequence, num_tokens in chosen)
        if do_newcomers_decode:
            slots, row_keys = self.decode_rows()  # the newcomers' too
        first = [sequence.row_key for sequence, _ in chosen if sequence.num_to_prefill == 0 and not sequence.is_pooled]
        return self._writer.step(chosen, spans, slots, np.concatenate([np.array(first, np.uint64), row_keys]))

    def _plan_apart(self, chosen: Chosen, num_new: int, *, may_wait: bool) -> PlannedStep:
        """The same beside constrained rows, whose last spans and decode are a plan of their own."""
        slots, row_keys = self._batch.constrained_rows()  # as they were before this step
        last = [each for each in chosen if each[0].is_constrained and each[0].num_to_prefill == each[1]]
        others = [each for each in chosen if each not in last]
        step = self._plan_spans(others) if others else self._plan_decode(num_new)
        keys = np.concatenate([np.array([sequence.row_key for sequence, _ in last], np.uint64), row_keys])
        taken = self.constraints.take(keys, may_wait=may_wait and step.plan.is_empty)
        is_of_span = taken.indices < len(last)  # a mask that is late holds up the span, too
        first = [last[index] for index in taken.indices[is_of_span]]
        spans = tuple(self._writer.cut(sequence, num_tokens) for sequence, num_tokens in first)
        ready = slots[taken.indices[~is_of_span] - len(last)]
        constrained = self._writer.step(first, spans, ready, keys[taken.indices])
        plan = replace(constrained.plan, masks=taken.masks)
        return PlannedStep(
            step.plan, [*step.newcomers, *constrained.newcomers], None if plan.is_empty else plan,
            taken.complete, taken.failed,
        )  # fmt: skip

    def _plan_decode(self, num_new: int) -> PlannedStep:
        """Steady decode of `num_new` tokens, or of one where somebody waits by now: nothing of Python for a row."""
        slots, row_keys = self.decode_rows()
        num_tokens = min(num_new, self.tokens_per_dispatch())
        self.seats.progress.advance(slots, num_tokens)
        return PlannedStep(StepPlan((), (), self._writer.changes((), slots), slots, num_tokens, row_keys=row_keys), [])

    def decode_rows(self) -> tuple[np.ndarray, np.ndarray]:
        """(slots int32 [B], row keys uint64 [B]) whose prompts are on the device and which nothing constrains; never
        written to later."""
        return self._batch.decode_rows()

    def tokens_per_dispatch(self) -> int:
        """How many tokens the next decode makes per row."""
        is_alone = not len(self._line) and self.queue.num_choices == 0
        return self._capacity.tokens_per_dispatch if is_alone else 1

    # ---- who ends

    def end_rows(self, row_keys: Iterable[int]) -> None:
        """Sequences that made their last token. Those that ended before are ignored."""
        for row_key in row_keys:
            sequence = self._sequences.get(row_key)
            if sequence is not None:
                self._release(sequence)
                if not sequence.generation.sequences and sequence.generation.num_waiting == 0:
                    del self._begun[sequence.generation.stream_key]
                    self.queue.count_end()

    def end_stream(self, stream_key: int, *, broken: int | None = None) -> None:
        """Every sequence of a stream, and what waits of it. Unknown streams are ignored.

        Args:
            broken: the row key of the one that went wrong on the device.
        """
        self.queue.drop(stream_key)
        generation = self._begun.pop(stream_key, None)
        if generation is not None:
            for sequence in list(generation.sequences.values()):
                self._release(sequence, is_broken=sequence.row_key == broken)
            self.queue.count_end()

    def end_stream_of(self, row_key: int) -> None:
        """The same for the stream of a row that went wrong on the device, unless that has ended before."""
        sequence = self._sequences.get(row_key)
        if sequence is not None:
            self.end_stream(sequence.generation.stream_key, broken=row_key)

    def request_of(self, row_key: int) -> GenerationRequest | None:
        """What a row is of; None where it has ended."""
        sequence = self._sequences.get(row_key)
        return None if sequence is None else sequence.generation.request

    def take_pooled(self, columns: PooledColumns) -> int | None:
        """Hands a span's states to its request. If the prompt is whole, how its row has ended: END_LENGTH, or END_ERROR
        where its embedding is not numbers. None for a row that is gone, too."""
        sequence = self._sequences.get(columns.row_key)
        vectors = None if sequence is None else sequence.generation.request.vectors
        if sequence is None or vectors is None:
            return None
        index = sequence.row_key - sequence.generation.stream_key
        if not vectors.add(index, columns):
            return None
        return END_LENGTH if vectors.is_finite(index) else END_ERROR

    def end_all(self) -> list[int]:
        """Every stream that has begun: their keys. The device has lost what was in its pages."""
        stream_keys = list(self._begun)
        for stream_key in stream_keys:
            self.end_stream(stream_key)
        self.seats.cache.forget_all()
        return stream_keys

    def _release(self, sequence: Sequence, *, is_broken: bool = False) -> None:
        row_key = sequence.row_key
        del sequence.generation.sequences[row_key]
        if self._sequences.pop(row_key, None) is not None:
            self.queue.order.leave(row_key)
            self.seats.leave(sequence, is_broken=is_broken)
            sequence.slot = -1
            self._line.leave(sequence)
        self.constraints.leave(row_key)

    def check_integrity(self) -> None:
        """Asserts that slots, pages and sequences agree."""
        sequences = self._sequences.values()
        self.seats.tables.check_integrity(sequence.slot for sequence in sequences)
        decoding = {s.slot: s.row_key for s in sequences if s.num_to_prefill == 0 and not s.is_pooled}
        self._batch.check_integrity(decoding, len(sequences))
        self.queue.order.check_integrity(set(self._sequences))
        begun = [s for generation in self._begun.values() for s in generation.sequences.values()]
        assert {id(s) for s in begun if s.slot >= 0} == {id(s) for s in sequences}, "a sequence without its generation"
        self.queue.check_integrity({s.row_key for s in begun if s.slot < 0})
        self._line.check_integrity(sequences)
