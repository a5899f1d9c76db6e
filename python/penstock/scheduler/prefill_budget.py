"""Whose prompt gets on: the tokens that a step computes of prompts, and how the sequences with prompt left share them.
No pages, slots or device here: sequences in, sequences with a number of tokens each out.

The policy.

- A step computes at most `max_tokens` of prompts, with the padding of the spans, and where rows decode beside them
  `max_tokens_beside`, as their next tokens wait for it. All of it is given away while anybody has a use for it.
- Where an engine computes a span and the rows that decode in one pass over the weights, there is no other span in such
  a step: each would cost the rows another pass. It goes by rank, and every second time to the prompt of that tenant
  that has the least left, so a short one waits for a step of a long one.
- Tenants take turns, and those whose turn it is get equal parts: deficit round robin (Shreedhar and Varghese, SIGCOMM
  1995), in which no deficit is left over, as a prompt can be cut anywhere. A step has at most NUM_PARTS parts (P),
  because a span costs a pass over the weights however short it is; so of T tenants each gets on in one of ceil(T / P)
  steps at least.
- Within a tenant it goes by rank: priority, then first come, first served. But while other requests have prompt left,
  one request gets no more than half of a step: a short prompt does not wait for a long one that came before.
- What is left of a step after that goes to whoever can use it, in the same order.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from operator import attrgetter

from penstock.scheduler.sequence import Sequence

#: Into which a step is cut at most.
NUM_PARTS = 4

_rank = attrgetter("rank")


class PrefillBudget:
    """The sequences with prompt left, by tenant.

    Args:
        max_tokens: of all prompts together, in one step.
        max_tokens_beside: the same in a step in which rows decode; None: as many.
        is_mixed: such a step has one span.
        max_spans: sequences that one step takes tokens of.
        span_sizes: to which the engine pads spans, ascending; the last one is `max_tokens`. Empty: it pads none.
    """

    def __init__(
        self, *, max_tokens: int, max_spans: int, span_sizes: tuple[int, ...] = (),
        max_tokens_beside: int | None = None, is_mixed: bool = False,
    ) -> None:  # fmt: skip
        self._padding = Padding(span_sizes)
        self._alone = Share.of(self._padding, max_tokens, max_spans)
        self._beside = Share.of(self._padding, max_tokens_beside or max_tokens, 1 if is_mixed else max_spans)
        self._is_mixed = is_mixed
        self._num_beside = 0  # steps of one span
        self._lines: dict[str, list[Sequence]] = {}  # by tenant, whose turn is next stands first; of each by rank
        self._num_sequences = 0

    def __len__(self) -> int:
        return self._num_sequences

    def __iter__(self) -> Iterator[Sequence]:
        return chain.from_iterable(self._lines.values())

    def add(self, sequence: Sequence) -> None:
        """A sequence that has prompt left."""
        insort(self._lines.setdefault(sequence.tenant, []), sequence, key=_rank)
        self._num_sequences += 1

    def discard(self, sequence: Sequence) -> None:
        """Its prompt is in, or it is over. Others are ignored."""
        line = self._lines.get(sequence.tenant, [])
        place = bisect_left(line, sequence.rank, key=_rank)
        if place == len(line) or line[place] is not sequence:
            return
        del line[place]
        self._num_sequences -= 1
        if not line:
            del self._lines[sequence.tenant]

    def choose(self, *, is_beside: bool = False) -> list[tuple[Sequence, int]]:
        """This step's spans: sequences, each once, and how many tokens of each.

        Args:
            is_beside: rows decode in this step.
        """
        if not self._num_sequences:
            return []
        if is_beside and self._is_mixed:
            return [self._choose_one()]
        share = self._beside if is_beside else self._alone
        step = StepSpans(self._padding, share.least_cut, num_left=share.max_tokens, num_spans_left=share.max_spans)
        self._give_parts(step, share)
        if step.num_whole < self._num_sequences:
            self._give_rest(step)
        self._pass_turn(step)
        return list(step.spans.items())

    def _choose_one(self) -> tuple[Sequence, int]:
        """The only span of a step in which rows decode."""
        tenant, line = next(iter(self._lines.items()))
        self._lines[tenant] = self._lines.pop(tenant)
        self._num_beside += 1
        is_by_rank = self._num_beside % 2 == 1
        sequence = line[0] if is_by_rank else min(line, key=attrgetter("num_to_prefill"))
        return sequence, min(sequence.num_to_prefill, self._padding.longest_within(self._beside.max_tokens))

    def _give_parts(self, step: StepSpans, share: Share) -> None:
        """To each tenant in turn its part. While others have prompt left, a request gets half of the step at most."""
        num_parts = min(len(self._lines), share.max_parts)
        part, num_spans = max(share.max_tokens // num_parts, share.least_cut), share.max_spans // num_parts
        most = max(share.max_tokens // 2, share.least_cut) if self._has_rivals() else share.max_tokens
        for line in self._lines.values():
            if step.is_full:
                return
            _give_part(step, line, part, num_spans, most_of_one=most)

    def _give_rest(self, step: StepSpans) -> None:
        for sequence in self:
            if step.is_full:
                return
            step.extend(sequence, step.num_left)

    def _has_rivals(self) -> bool:
        """Whether more than one request has prompt left."""
        first = next(iter(self)).generation
        return any(sequence.generation is not first for sequence in self)

    def _pass_turn(self, step: StepSpans) -> None:
        """Who got something is behind all others."""
        if len(self._lines) > 1:
            for tenant in dict.fromkeys(sequence.tenant for sequence in step.spans):
                self._lines[tenant] = self._lines.pop(tenant)


def _give_part(step: StepSpans, line: list[Sequence], num_tokens: int, num_spans: int, *, most_of_one: int) -> None:
    """Gives a tenant's sequences at most `num_tokens` and `num_spans`, and each request at most `most_of_one`."""
    of_request: Counter[int] = Counter()
    for sequence in line:
        if num_tokens <= 0 or num_spans == 0:
            return
        cost = step.extend(sequence, min(num_tokens, most_of_one - of_request[sequence.stream_key]))
        num_tokens -= cost
        num_spans -= cost > 0
        of_request[sequence.stream_key] += cost


@dataclass(frozen=True, slots=True)
class Padding:
    """What a span costs: the size that it is padded to, of `sizes`, ascending; its length where there are none."""

    sizes: tuple[int, ...] = ()

    @property
    def least(self) -> int:
        return self.sizes[0] if self.sizes else 1

    def cost_of(self, num_tokens: int) -> int:
        """Of a span, or of the least that would be more than a step, where it is too long."""
        place = bisect_left(self.sizes, num_tokens)
        return self.sizes[place] if num_tokens and place < len(self.sizes) else num_tokens

    def longest_within(self, cost: int) -> int:
        """The longest span for that; 0: there is none."""
        place = bisect_right(self.sizes, cost)
        return cost if not self.sizes else self.sizes[place - 1] if place else 0


@dataclass(frozen=True, slots=True)
class Share:
    """What a step has for prompts.

    Attributes:
        max_tokens: of all together.
        max_spans: sequences.
        least_cut: tokens of a prompt that is not computed to its end.
        max_parts: into which it is cut at most.
    """

    max_tokens: int
    max_spans: int
    least_cut: int
    max_parts: int

    @classmethod
    def of(cls, padding: Padding, max_tokens: int, max_spans: int) -> Share:
        least_cut = padding.longest_within(max(max_tokens // NUM_PARTS, padding.least))
        return cls(max_tokens, max_spans, least_cut, min(NUM_PARTS, max_spans, max_tokens // least_cut))


@dataclass(slots=True)
class StepSpans:
    """A step that is being filled.

    Attributes:
        least_cut: tokens of a prompt that is not computed to its end.
        num_left: tokens that may still be given, with padding.
        spans: tokens by sequence.
        num_whole: sequences that need no more than they got.
    """

    padding: Padding
    least_cut: int
    num_left: int
    num_spans_left: int
    spans: dict[Sequence, int] = field(default_factory=dict)
    num_whole: int = 0

    @property
    def is_full(self) -> bool:
        return self.num_left < self.padding.least

    def extend(self, sequence: Sequence, room: int) -> int:
        """Gives a sequence tokens, or more than it has, that cost at most `room`. What they cost."""
        has, wants = self.spans.get(sequence, 0), sequence.num_to_prefill
        if has == wants or (has == 0 and self.num_spans_left == 0):
            return 0
        cost_before = self.padding.cost_of(has)
        gets = self._fit(wants, cost_before + min(room, self.num_left))
        if gets <= has:
            return 0
        cost = self.padding.cost_of(gets) - cost_before
        self.spans[sequence] = gets
        self.num_left -= cost
        self.num_spans_left -= has == 0
        self.num_whole += gets == wants
        return cost

    def _fit(self, num_tokens: int, room: int) -> int:
        if self.padding.cost_of(num_tokens) <= room:
            return num_tokens
        cut = self.padding.longest_within(room)
        return cut if cut >= self.least_cut else 0
