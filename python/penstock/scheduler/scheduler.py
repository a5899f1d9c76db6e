"""The policy: who gets a slot, which slices of which prompts, which rows decode, and how many tokens at once.

Book-keeping of the host only: no device, no hub, no thread of its own.

- First come, first served, and nobody overtakes: the head of the queue waits until its next choice fits.
- A choice gets a slot and the pages of its prompt and all its new tokens when it is admitted, so an admitted sequence
  always ends by itself and the queue can never lock up. There is no preemption yet.
- A step computes at most `max_prefill_tokens` of prompts beside decode: several short prompts, or one slice of a
  prompt that must be cut. Decode runs in every step.
- Several tokens per dispatch only while nobody waits to join, as a newcomer would wait for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from penstock.engine.interface import Capacity, PrefillSlice
from penstock.errors import ApiError
from penstock.generation import MAX_STOP_IDS
from penstock.scheduler.batch import Batch
from penstock.scheduler.page_pool import PagePool
from penstock.scheduler.request_queue import RequestQueue
from penstock.scheduler.sequence import Generation, Sequence

if TYPE_CHECKING:
    from penstock.generation import GenerationRequest

MAX_SLICES_PER_STEP = 8
"""A slice costs a dispatch and a pass over the weights however short it is; more of them would hold decode up."""


class Schedule:
    """The sequences in slots, and what each does next.

    Args:
        capacity: what the engine has.
        queue: the requests that wait.
        stop_ids: the model's own stop tokens.
    """

    def __init__(self, capacity: Capacity, queue: RequestQueue, *, stop_ids: tuple[int, ...]) -> None:
        self.queue = queue
        self.pages = PagePool(capacity.num_pages)
        self._capacity = capacity
        self._stop_ids = stop_ids
        self._batch = Batch(capacity.num_slots)
        self._sequences: dict[int, Sequence] = {}  # by row key
        self._prefilling: dict[int, Sequence] = {}  # those with prompt left, by row key, in order of admission
        self._begun: dict[int, Generation] = {}  # by stream key, until the last choice has ended

    @property
    def num_running(self) -> int:
        """Sequences in slots."""
        return len(self._sequences)

    @property
    def num_free_slots(self) -> int:
        """Slots that a sequence could have at once."""
        return self._batch.num_free

    # ---- who joins

    def check_fits(self, request: GenerationRequest) -> None:
        """Refuses what could never be admitted. The server's door has checked the rest."""
        capacity, max_tokens = self._capacity, request.sampling.max_tokens
        assert max_tokens is not None, "the server sets max_tokens before it submits"
        if max_tokens < 1 or not all(prompt.num_tokens for prompt in request.prompts):
            raise ApiError("invalid_request", "Each prompt needs at least one token, and max_tokens at least 1.")
        limit = min(capacity.max_model_len, capacity.num_pages * capacity.page_size)
        num_tokens = max(prompt.num_tokens for prompt in request.prompts) + max_tokens
        if num_tokens > limit:
            raise ApiError(
                "context_length_exceeded",
                f"This model's maximum context length is {limit} tokens, prompt and new tokens are {num_tokens}.",
                param="max_tokens",
            )
        if len(self.stop_ids_of(request.sampling.stop_token_ids)) > MAX_STOP_IDS:
            message = f"At most {MAX_STOP_IDS} stop tokens, the model's own included."
            raise ApiError("invalid_request", message, param="stop_token_ids")

    def admit(self) -> None:
        """Gives slots and pages to the choices that waited longest, as far as both go."""
        while self._batch.num_free and (generation := self.queue.head()):
            num_pages = -(-generation.num_tokens(generation.num_begun) // self._capacity.page_size)
            if num_pages > self.pages.num_free:
                return
            index = self.queue.begin_choice(generation)
            if index is not None:
                self._begin(generation, index, num_pages=num_pages)

    def _begin(self, generation: Generation, index: int, *, num_pages: int) -> None:
        row_key = generation.stream_key | index
        slot = self._batch.seat(row_key)
        sequence = Sequence.begin(generation, index, slot=slot, pages=self.pages.take(num_pages))
        self._begun[generation.stream_key] = generation
        generation.sequences[row_key] = self._sequences[row_key] = self._prefilling[row_key] = sequence

    # ---- what runs

    def next_slices(self) -> list[tuple[Sequence, PrefillSlice]]:
        """The prompts' share of this step. Who gets the last slice of its prompt decodes from now on."""
        budget = self._capacity.max_prefill_tokens
        slices: list[tuple[Sequence, PrefillSlice]] = []
        for sequence in self._prefilling.values():
            if slices and (sequence.num_to_prefill > budget or len(slices) == MAX_SLICES_PER_STEP):
                break
            piece = self._cut(sequence, min(sequence.num_to_prefill, budget))
            budget -= len(piece.tokens)
            slices.append((sequence, piece))
        for sequence, piece in slices:
            if piece.is_last:
                del self._prefilling[sequence.row_key]
                self._batch.start_decoding(sequence.slot)
        return slices

    def _cut(self, sequence: Sequence, num_tokens: int) -> PrefillSlice:
        start, sampling = sequence.num_prefilled, sequence.generation.request.sampling
        assert sampling.max_tokens is not None, "the server sets max_tokens before it submits"
        sequence.num_prefilled += num_tokens
        return PrefillSlice(
            slot=sequence.slot,
            tokens=sequence.prompt_ids[start : sequence.num_prefilled],
            start=start,
            pages=sequence.pages,
            is_last=sequence.num_to_prefill == 0,
            temperature=sampling.temperature,
            top_k=sampling.top_k,
            top_p=sampling.top_p,
            min_p=sampling.min_p,
            key=sequence.key,
            max_new_tokens=sampling.max_tokens,
            stop_ids=self.stop_ids_of(sampling.stop_token_ids),
        )

    def stop_ids_of(self, stop_token_ids: tuple[int, ...]) -> tuple[int, ...]:
        """The model's stop tokens and a request's own, each once."""
        return tuple(dict.fromkeys(self._stop_ids + stop_token_ids))

    def decode_rows(self) -> tuple[np.ndarray, np.ndarray]:
        """(slots int32 [B], row keys uint64 [B]) whose prompts are on the device; never written to later."""
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
        self._prefilling.pop(row_key, None)
        self._batch.leave(sequence.slot)
        self.pages.give_back(sequence.pages)

    def check_integrity(self) -> None:
        """Asserts that slots, pages and sequences agree."""
        sequences = self._sequences.values()
        self.pages.check_integrity(sequence.pages for sequence in sequences)
        self._batch.check_integrity({s.slot: s.row_key for s in sequences if s.num_to_prefill == 0}, len(sequences))
        begun = [s for generation in self._begun.values() for s in generation.sequences.values()]
        assert {id(s) for s in begun} == {id(s) for s in sequences}, "a sequence without its generation"
        assert all(s.num_to_prefill for s in self._prefilling.values()), "a prompt that waits for no slice"
