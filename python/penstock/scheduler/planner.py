"""The policy: who gets a slot, which spans of which prompts, which rows decode, and how many tokens at once.

Book-keeping of the host only: no device, no hub, no thread of its own.

- Who is next for a slot is said in `fair_order`, whose prompt gets on in a step in `prefill_budget`.
- A choice gets a slot and the pages of its prompt and all its new tokens when it is admitted, so an admitted sequence
  always ends by itself and the queue can never lock up. There is no preemption yet.
- Decode runs in every step, beside at most `max_prefill_tokens` of prompts.
- Several tokens per dispatch only while nobody waits to join, as a newcomer would wait for all of them.
- Rows under a grammar are planned apart, one token each, when their last token is known and their next mask is ready:
  a late row sits out the step. The others neither wait for them nor make fewer tokens per dispatch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from penstock.engine.interface import (
    END_ERROR,
    END_LENGTH,
    BlockTableChange,
    Capacity,
    Join,
    PooledColumns,
    Span,
    StepPlan,
    TokenRules,
    Yields,
)
from penstock.engine.row_parameters import pack_row
from penstock.engine.token_rules import WITH_RULES, RowUse
from penstock.errors import ApiError
from penstock.generation import MAX_BAD_WORD_TOKENS, MAX_BAD_WORDS, MAX_LOGIT_BIAS, MAX_STOP_IDS
from penstock.scheduler.batch import Batch
from penstock.scheduler.constraints import Constraints
from penstock.scheduler.fair_order import Waiting
from penstock.scheduler.page_pool import PagePool
from penstock.scheduler.prefill_budget import PrefillBudget
from penstock.scheduler.request_queue import RequestQueue
from penstock.scheduler.sequence import Generation, Sequence

if TYPE_CHECKING:
    from penstock.generation import GenerationRequest, SamplingParams


# Looked up here: on a class of an enum that takes as long as making a span.
_TOKEN, _NOTHING = Yields.TOKEN, Yields.NOTHING


class PlannedStep(NamedTuple):
    """What a step does.

    Attributes:
        plan: of the rows that nothing constrains, and of all prompts but the last spans of the others.
        new_row_keys: of those who join.
        constrained_plan: the constrained rows whose masks are ready, with their masks. It is dispatched first.
        complete: row keys of constrained rows whose text is whole.
        failed: row keys of constrained rows that can go no further, and why.
    """

    plan: StepPlan
    new_row_keys: list[int]
    constrained_plan: StepPlan | None = None
    complete: Collection[int] = ()
    failed: Collection[tuple[int, str]] = ()


class Planner:
    """The sequences in slots, and what each does next.

    Args:
        capacity: what the engine has.
        queue: the requests that wait.
        stop_ids: the model's own stop tokens.
        num_grammar_threads: that compute masks.
    """

    def __init__(
        self, capacity: Capacity, queue: RequestQueue, *, stop_ids: tuple[int, ...], num_grammar_threads: int = 2
    ) -> None:
        self.queue = queue
        self.pages = PagePool(capacity.num_pages)
        self.constraints = Constraints(num_grammar_threads)
        self._capacity = capacity
        self._stop_ids = tuple(dict.fromkeys(stop_ids))
        self._batch = Batch(capacity.num_slots)
        queue.num_free_slots = self._batch.num_free
        queue.order.num_slots, queue.order.num_cache_tokens = (
            capacity.num_slots,
            capacity.num_pages * capacity.page_size,
        )
        self._sequences: dict[int, Sequence] = {}  # by row key
        self._prefilling = PrefillBudget(
            max_tokens=capacity.max_prefill_tokens, max_spans=capacity.max_spans, span_sizes=capacity.span_sizes
        )
        self._begun: dict[int, Generation] = {}  # by stream key, until the last choice has ended

    @property
    def num_running(self) -> int:
        """Sequences in slots."""
        return len(self._sequences)

    # ---- who joins

    def check_fits(self, request: GenerationRequest) -> None:
        """Refuses what could never be admitted. The server's door has checked the rest."""
        capacity, max_tokens = self._capacity, request.sampling.max_tokens
        assert max_tokens is not None, "the server sets max_tokens before it submits"
        nums_tokens = [prompt.num_tokens for prompt in request.prompts]
        if not all(nums_tokens):
            raise ApiError("invalid_request", "Each prompt needs at least one token.")
        if request.sampling.min_tokens > max_tokens:
            message = f"'min_tokens' must be at most the {max_tokens} new tokens that can be made."
            raise ApiError("invalid_value", message, param="min_tokens")
        limit = min(capacity.max_model_len, capacity.num_pages * capacity.page_size)
        num_tokens = max(nums_tokens) + max_tokens
        if num_tokens > limit:
            raise ApiError(
                "context_length_exceeded",
                f"This model's maximum context length is {limit} tokens, prompt and new tokens are {num_tokens}.",
                param="max_tokens",
            )
        if len(self.stop_ids_of(request.sampling)) > MAX_STOP_IDS:
            message = f"At most {MAX_STOP_IDS} stop tokens, the model's own included."
            raise ApiError("invalid_request", message, param="stop_token_ids")
        _check_rules(request.sampling)

    def admit(self) -> None:
        """Gives slots and pages to the choices whose turn it is, as far as both go."""
        while self._batch.num_free() and (generation := self.queue.head(self._has_pages)):
            assert isinstance(generation, Generation), "nothing is preempted"
            num_pages = self._num_pages(generation)
            index = self.queue.begin_choice(generation)
            if index is not None:
                self._begin(generation, index, num_pages=num_pages)

    def _has_pages(self, waiting: Waiting) -> bool:
        assert isinstance(waiting, Generation), "nothing is preempted"
        return self._num_pages(waiting) <= self.pages.num_free

    def _num_pages(self, generation: Generation) -> int:
        """Of its next choice."""
        return -(-generation.num_tokens(generation.num_begun) // self._capacity.page_size)

    def _begin(self, generation: Generation, index: int, *, num_pages: int) -> None:
        row_key = generation.stream_key | index
        self._begun[generation.stream_key] = generation  # so that a failure from here on ends it
        sequence = Sequence.begin(generation, index)  # may fail, so before anything is taken
        sequence.slot, sequence.pages = self._batch.seat(row_key), self.pages.take(num_pages)
        generation.sequences[row_key] = self._sequences[row_key] = sequence
        self._prefilling.add(sequence)
        self.queue.order.seat(sequence)
        if (spec := generation.request.grammar) is not None:
            self.constraints.join(row_key, spec.grammar)

    # ---- what runs

    def plan(self, *, may_wait: bool = False) -> PlannedStep:
        """This step: spans of prompts, and the next token (or several) of every row whose prompt is in.

        When nobody decoded before, the newcomers' first tokens are not held up by their second.

        Args:
            may_wait: nothing is under way, so if nothing but masks is missing, they are waited for.
        """
        chosen = self._prefilling.choose()
        if self.constraints:
            return self._plan_apart(chosen, may_wait=may_wait)
        return self._plan_spans(chosen) if chosen else self._plan_decode()

    def _plan_spans(self, chosen: list[tuple[Sequence, int]]) -> PlannedStep:
        """Spans, and decode of what decoded before, or of the newcomers too."""
        slots, row_keys = self.decode_rows()
        is_decoding = len(slots) > 0
        spans = tuple(self._cut(sequence, num_tokens) for sequence, num_tokens in chosen)
        new = [sequence for (sequence, _), span in zip(chosen, spans, strict=True) if span.start == 0]
        if is_decoding:
            slots, row_keys = self.decode_rows()  # the newcomers' too
        first = [sequence.row_key for sequence, _ in chosen if sequence.num_to_prefill == 0 and not sequence.is_pooled]
        plan = StepPlan(
            joins=tuple(self._join(sequence) for sequence in new),
            spans=spans,
            block_tables=tuple(change for sequence in new for change in self._block_tables(sequence)),
            decode_slots=slots,
            row_keys=np.concatenate([np.array(first, np.uint64), row_keys]),
        )
        return PlannedStep(plan, [sequence.row_key for sequence in new])

    def _plan_apart(self, chosen: list[tuple[Sequence, int]], *, may_wait: bool) -> PlannedStep:
        """The same beside constrained rows, whose last spans and decode are a plan of their own."""
        slots, row_keys = self._batch.constrained_rows()  # as they were before this step
        first = [each for each in chosen if each[0].is_constrained and each[0].num_to_prefill == each[1]]
        others = [each for each in chosen if each not in first]
        spans = tuple(self._cut(sequence, num_tokens) for sequence, num_tokens in first)
        new = [sequence for (sequence, _), span in zip(first, spans, strict=True) if span.start == 0]
        step = self._plan_spans(others) if others else self._plan_decode()
        keys = np.concatenate([np.array([sequence.row_key for sequence, _ in first], np.uint64), row_keys])
        taken = self.constraints.take(keys, may_wait=may_wait and step.plan.is_empty)
        constrained_plan = StepPlan(
            joins=tuple(self._join(sequence) for sequence in new),
            spans=spans,
            block_tables=tuple(change for sequence in new for change in self._block_tables(sequence)),
            decode_slots=slots[taken.indices[len(spans) :] - len(spans)],  # the first masks are always ready
            masks=taken.masks,
            row_keys=keys[taken.indices],
        )
        return PlannedStep(
            step.plan,
            [*step.new_row_keys, *(sequence.row_key for sequence in new)],
            None if constrained_plan.is_empty else constrained_plan,
            taken.complete,
            taken.failed,
        )

    def _plan_decode(self) -> PlannedStep:
        """Steady decode: nothing of Python for a row."""
        slots, row_keys = self.decode_rows()
        return PlannedStep(StepPlan((), (), (), slots, self.tokens_per_dispatch(), row_keys=row_keys), [])

    def _cut(self, sequence: Sequence, num_tokens: int) -> Span:
        """The next span of a prompt. Who gets the last one of its prompt decodes from now on."""
        start = sequence.num_prefilled
        sequence.num_prefilled += num_tokens
        is_last = sequence.num_to_prefill == 0
        if is_last:
            self._prefilling.discard(sequence)
        tokens = sequence.prompt_ids[start : sequence.num_prefilled]
        if sequence.is_pooled:
            return Span(sequence.slot, tokens, start, Yields.POOLED, row_key=sequence.row_key)
        if is_last:
            self._batch.start_decoding(sequence.slot, is_constrained=sequence.is_constrained)
        yields = _TOKEN if is_last else _NOTHING
        if sequence.generation.request.sampling.prompt_logprobs is None:
            return Span(sequence.slot, tokens, start, yields)
        next_token = -1 if is_last else int(sequence.prompt_ids[sequence.num_prefilled])
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
        use = RowUse.of(sampling)
        rules = TokenRules(sampling, sequence.prompt_ids) if use and use & WITH_RULES else None
        return Join(sequence.slot, params, rules)

    def _block_tables(self, sequence: Sequence) -> list[BlockTableChange]:
        """The same pages in every group: each group's layers have a cache of their own."""
        groups = range(self._capacity.num_page_groups)
        return [BlockTableChange(sequence.slot, group, 0, sequence.pages) for group in groups]

    def stop_ids_of(self, sampling: SamplingParams) -> tuple[int, ...]:
        """The model's stop tokens, unless a request ignores them, and the request's own, each once."""
        of_the_model = () if sampling.ignore_eos else self._stop_ids
        if not sampling.stop_token_ids:
            return of_the_model
        return tuple(dict.fromkeys(of_the_model + sampling.stop_token_ids))

    def decode_rows(self) -> tuple[np.ndarray, np.ndarray]:
        """(slots int32 [B], row keys uint64 [B]) whose prompts are on the device and which nothing constrains; never
        written to later."""
        return self._batch.decode_rows()

    def tokens_per_dispatch(self) -> int:
        """How many tokens the next decode makes per row."""
        is_alone = not self._prefilling and self.queue.num_choices == 0
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

    def end_stream(self, stream_key: int) -> None:
        """Every sequence of a stream, and what waits of it. Unknown streams are ignored."""
        self.queue.drop(stream_key)
        generation = self._begun.pop(stream_key, None)
        if generation is not None:
            for sequence in list(generation.sequences.values()):
                self._release(sequence)
            self.queue.count_end()

    def end_stream_of(self, row_key: int) -> None:
        """The same for the stream of one of its rows, unless that has ended before."""
        sequence = self._sequences.get(row_key)
        if sequence is not None:
            self.end_stream(sequence.generation.stream_key)

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
        """Every stream that has begun: their keys."""
        stream_keys = list(self._begun)
        for stream_key in stream_keys:
            self.end_stream(stream_key)
        return stream_keys

    def _release(self, sequence: Sequence) -> None:
        """Slot and pages go back at once: a step in flight that still writes to them runs before any later one."""
        row_key = sequence.row_key
        del self._sequences[row_key], sequence.generation.sequences[row_key]
        self._prefilling.discard(sequence)
        self.queue.order.leave(row_key)
        self._batch.leave(sequence.slot)
        self.constraints.leave(row_key)
        self.pages.give_back(sequence.pages)

    def check_integrity(self) -> None:
        """Asserts that slots, pages and sequences agree."""
        sequences = self._sequences.values()
        self.pages.check_integrity(sequence.pages for sequence in sequences)
        self._batch.check_integrity(
            {s.slot: s.row_key for s in sequences if s.num_to_prefill == 0 and not s.is_pooled}, len(sequences)
        )
        self.queue.order.check_integrity(set(self._sequences))
        begun = [s for generation in self._begun.values() for s in generation.sequences.values()]
        assert {id(s) for s in begun} == {id(s) for s in sequences}, "a sequence without its generation"
        assert all(s.num_to_prefill for s in self._prefilling), "a prompt that waits for no span"


def _check_rules(sampling: SamplingParams) -> None:
    """Refuses rules for single tokens beyond what a slot has room for."""
    if len(sampling.logit_bias) > MAX_LOGIT_BIAS:
        raise ApiError("invalid_value", f"At most {MAX_LOGIT_BIAS} tokens can be biased.", param="logit_bias")
    words = sampling.bad_word_ids
    if len(words) > 2 * MAX_BAD_WORDS or not all(0 < len(word) <= MAX_BAD_WORD_TOKENS for word in words):
        message = f"At most {2 * MAX_BAD_WORDS} sequences of 1 to {MAX_BAD_WORD_TOKENS} tokens can be bad words."
        raise ApiError("invalid_value", message, param="bad_words")
