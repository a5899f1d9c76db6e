"""What the host knows of the work in hand: a generation (one request) and its sequences (one per choice).

Ids and counts only: no text, no device arrays, no thread.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from penstock.scheduler.page_pool import int32s

if TYPE_CHECKING:
    from penstock.generation import GenerationRequest

_MASK64 = (1 << 64) - 1


def rng_key(seed: int, prompt_index: int, choice_index: int) -> tuple[int, int]:
    """The random stream of one choice: two uint32, the same in any batch and for any `n`.

    Each index is added to the state and mixed by the finalizer of SplitMix64 (Steele, Lea and Flood, "Fast splittable
    pseudorandom number generators", OOPSLA 2014), so neighbouring seeds and choices share nothing.
    """
    state = seed & _MASK64
    for word in (prompt_index, choice_index):
        state = _mix64(_mix64(state) + word)
    high, low = struct.unpack(">II", state.to_bytes(8, "big"))
    return high, low


def _mix64(state: int) -> int:
    state = (state + 0x9E3779B97F4A7C15) & _MASK64
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK64
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK64
    return state ^ (state >> 31)


@dataclass(slots=True, eq=False)
class Generation:
    """A request's work while any of its choices waits or runs.

    Attributes:
        request: what was asked.
        arrival: how many requests were submitted before it.
        num_begun: choices that left the queue; they leave it in order.
        sequences: the choices in slots, by row key.
        stream_key, tenant, num_choices: of the request.
        rank: who is sooner within a tenant: by priority, arrival, and its begun choices before the others.
        needs_all_states: its prompts are computed from the first token on, whatever a cache has of them.
    """

    request: GenerationRequest
    num_begun: int = 0
    sequences: dict[int, Sequence] = field(default_factory=dict)
    arrival: int = 0
    stream_key: int = field(init=False)
    tenant: str = field(init=False)
    num_choices: int = field(init=False)
    rank: tuple[int, int, int] = field(init=False)
    needs_all_states: bool = field(init=False)

    def __post_init__(self) -> None:
        request = self.request  # what is asked of it all the time, and never changes
        self.stream_key, self.tenant, self.num_choices = request.stream_key, request.tenant, request.num_choices
        self.rank = (request.priority, self.arrival, self.num_choices)
        self.needs_all_states = request.sampling.prompt_logprobs is not None or (
            request.vectors is not None and not request.vectors.may_skip_tokens
        )

    @property
    def num_waiting(self) -> int:
        """Choices still in the queue."""
        return self.num_choices - self.num_begun


@dataclass(slots=True, eq=False)
class Sequence:
    """One choice from the first span of its prompt to its last token. Where pages run out it may lose its slot, and go
    on later from the prompt and what it has made.

    Attributes:
        row_key: the hub's name for it.
        prompt_ids: int32 [T].
        rng_key: its random stream, two uint32; zeros where nothing is drawn.
        input_ids: int32: the prompt and the tokens that it had made when it last got a slot.
        page_names: of whole pages at its beginning, as far as they are known.
        slot: its row of the device state, -1 while it has none.
        num_prefilled: tokens of `input_ids` already handed to the device, or found in the cache.
        num_told: tokens of its prompt of which what was asked, logprobs or states, is on its way.
        is_joined: the device has its parameters in the slot.
        is_scheduled: the hub knows that it has begun.
        cache_exit: why no more of its prompt was cached, where its request asks.
        stream_key, tenant: of its generation.
        rank: as of its generation, by its choice. Who has the greatest gives way where pages run out.
    """

    generation: Generation
    row_key: int
    prompt_ids: np.ndarray
    rng_key: tuple[int, int]
    input_ids: np.ndarray
    page_names: list[bytes] = field(default_factory=list)
    slot: int = -1
    num_prefilled: int = 0
    num_told: int = 0
    is_joined: bool = False
    is_scheduled: bool = False
    cache_exit: str | None = None
    stream_key: int = field(init=False)
    tenant: str = field(init=False)
    rank: tuple[int, int, int] = field(init=False)

    def __post_init__(self) -> None:
        generation = self.generation
        self.stream_key, self.tenant = generation.stream_key, generation.tenant
        priority, arrival, _ = generation.rank
        self.rank = (priority, arrival, self.row_key - self.stream_key)

    @classmethod
    def begin(cls, generation: Generation, index: int) -> Sequence:
        """Choice `index` of a generation, without a slot yet."""
        request, sampling = generation.request, generation.request.sampling
        prompt_index, choice_index = divmod(index, sampling.num_computed)
        prompt_ids = request.prompts[prompt_index].ids
        assert prompt_ids is not None, "an engine of tokens gets its prompts as tokens"
        ids = int32s(prompt_ids)
        return cls(
            generation,
            row_key=request.stream_key | index,
            prompt_ids=ids,
            rng_key=(0, 0) if sampling.is_greedy else rng_key(sampling.seed, prompt_index, choice_index),
            input_ids=ids,
        )

    @property
    def is_constrained(self) -> bool:
        """A grammar says what it may write."""
        return self.generation.request.grammar is not None

    @property
    def is_pooled(self) -> bool:
        """It ends with its prompt, whose states are wanted: it never decodes."""
        return self.generation.request.vectors is not None

    @property
    def num_to_prefill(self) -> int:
        return len(self.input_ids) - self.num_prefilled

    @property
    def made_ids(self) -> np.ndarray:
        """int32 [N], what it had made when it last got a slot."""
        return self.input_ids[len(self.prompt_ids) :]

    @property
    def wants_states(self) -> bool:
        """Something is told of each of its prompt's tokens, or of all together."""
        request = self.generation.request
        return request.sampling.prompt_logprobs is not None or request.vectors is not None

    @property
    def num_findable(self) -> int:
        """Tokens that it may take from the cache: its last one is always computed, as the next comes of it, and so are
        those of which something is yet to be told."""
        if self.generation.needs_all_states and self.num_told < len(self.prompt_ids):
            return self.num_told
        return len(self.input_ids) - 1

    def num_of_span(self, share: int) -> int:
        """Tokens of its next span, `share` at most: what is told of its prompt already is not told again by a span that
        goes beyond it."""
        num_tokens = min(share, self.num_to_prefill)
        num_told = self.num_told - self.num_prefilled
        return min(num_tokens, num_told) if num_told > 0 else num_tokens

    def put_off(self, made: np.ndarray) -> None:
        """It loses its slot, having made `made`, int32 [N], there."""
        self.input_ids = np.concatenate([self.input_ids, made])
        self.slot, self.num_prefilled, self.is_joined = -1, 0, False
