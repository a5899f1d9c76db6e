"""A device and a hub to schedule against, in numpy and plain Python, each checking what the real one relies on.

A cell of the fake's cache holds the whole history of its position, as its keys and values do in a real one, and every
cell that a row sees is compared with what should be there. The next token is a hash of the sequence's key and of that
history. So a page that two sequences share though they differ, one given back too early, a span at a wrong position or
a slot advanced once too often shows at once, and `naive_tokens`, which knows no pages, slots or steps, is the judge.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from penstock.engine.interface import (
    END_ERROR,
    END_LENGTH,
    END_STOP,
    MAX_TABLE_CHANGES_PER_ROW,
    Capacity,
    Join,
    PooledColumns,
    Span,
    StepOutput,
    StepPlan,
    Yields,
)
from penstock.engine.row_parameters import ROW_LAYOUT, ROW_PARAMETERS
from penstock.generation import GenerationRequest, Prompt, SamplingParams
from penstock.pooling import PooledVectors, Pooling, PoolingConfig
from penstock.scheduler.sequence import rng_key

VOCAB_SIZE = 23
STOP, LENGTH, ERROR = END_STOP, END_LENGTH, END_ERROR


class WrongCellError(BaseException):
    """No `Exception`: the scheduler would take it for a fault of the device, and go on."""


def small_capacity(**changes: Any) -> Capacity:
    """`num_pages` may be a number, of the only group."""
    sizes: dict[str, Any] = {
        "num_slots": 4,
        "num_pages": 24,
        "page_size": 4,
        "max_model_len": 48,
        "max_prefill_tokens": 8,
        "tokens_per_dispatch": 1,
        "pipeline_depth": 1,
    }
    sizes |= changes
    if isinstance(sizes["num_pages"], int):
        sizes["num_pages"] = (sizes["num_pages"],)
    return Capacity(**sizes)


def next_token(rng_key: tuple[int, int], history: list[int], *, banned: tuple[int, ...] = ()) -> int:
    """Banned tokens aside, a hash of what the row is and has seen."""
    allowed = [token for token in range(VOCAB_SIZE) if token not in banned]
    return allowed[hash((*rng_key, *history)) % len(allowed)]


def naive_tokens(request: GenerationRequest, index: int, *, stop_ids: tuple[int, ...]) -> tuple[list[int], int]:
    """What choice `index` makes when nothing else exists: (ids, end)."""
    sampling = request.sampling
    prompt, choice = divmod(index, sampling.n)
    key = (0, 0) if sampling.is_greedy else rng_key(sampling.seed, prompt, choice)
    stops = (() if sampling.ignore_eos else stop_ids) + sampling.stop_token_ids
    history, made = list(request.prompts[prompt].ids), []
    while len(made) < sampling.max_tokens:
        made.append(next_token(key, history, banned=stops if len(made) < sampling.min_tokens else ()))
        history.append(made[-1])
        if made[-1] in stops:
            return made, STOP
    return made, LENGTH


def make_request(
    stream: int, prompts: list[list[int]], max_tokens: int, *,
    seed: int = 0, tenant: str = "", priority: int = 0, **sampling_params: Any,
) -> GenerationRequest:  # fmt: skip
    sampling = SamplingParams(max_tokens=max_tokens, seed=seed, **sampling_params)
    prompts_of_ids = tuple(map(Prompt.of_ids, prompts))
    return GenerationRequest(
        stream << 12, prompts_of_ids, sampling, request_id=f"req_{stream}", tenant=tenant, priority=priority
    )


def pooled_request(key: int, prompts: list[list[int]], pooling: Pooling, *, normalized: bool = False):
    config = PoolingConfig(2, pooling, normalized)
    vectors = PooledVectors([len(each) for each in prompts], config)
    tokens = tuple(Prompt.of_ids(each) for each in prompts)
    sampling = SamplingParams(max_tokens=0, temperature=0.0)
    return GenerationRequest(key << 12, tokens, sampling, f"req_{key}", vectors=vectors), config


def naive_pooled(ids: list[int], pooling: Pooling) -> list[float]:
    states = np.stack([ids, np.arange(len(ids))], axis=1).astype(float)
    return {Pooling.LAST: states[-1], Pooling.CLS: states[0], Pooling.MEAN: states.mean(axis=0)}[pooling].tolist()


def tokens_of_mask(mask: np.ndarray) -> set[int]:
    """The tokens that a mask, uint32 [W], allows."""
    bits = np.unpackbits(mask.view(np.uint8), bitorder="little")
    return set(np.flatnonzero(bits).tolist())


@dataclass
class FakeStep:
    runner: FakeRunner
    output: StepOutput
    epoch: int

    def fetch(self) -> StepOutput:
        assert self.epoch == self.runner.epoch, "a step from before the reset was fetched"
        self.runner.num_unfetched -= 1
        self.runner.maybe_fail("fetch")
        return self.output


@dataclass
class FakeSlot:
    params: dict[str, list[Any]]
    made: list[int]  # before it got the slot
    pages: list[dict[int, int]]  # for each group by their place in the block table
    num_cached: int | None = None  # None: its first span will tell
    num_generated: int = 0
    last_token: int = -1
    is_active: bool = False


class FakeRunner:
    """Runs in dispatch order, as a device does. `faults` names the next steps that fail: those with a "span" or a
    "decode" in them, or in "fetch"."""

    def __init__(self, capacity: Capacity) -> None:
        self.capacity = capacity
        self.faults: list[str] = []
        self.error: type[Exception] = RuntimeError
        self.broken_tokens: set[int] = set()  # prompts with one of them have logits that are not numbers
        self.epoch = 0
        self.widths: list[int] = []  # tokens of every decode without masks
        self.num_masked = 0  # plans with masks
        self.num_scored: dict[int, int] = {}  # by row key, the prompt's tokens whose logprobs were given
        self._masks: list[np.ndarray] = []  # of the plan's rows that are still to come
        self.reset()

    def reset(self) -> None:
        self.epoch += 1
        self.num_unfetched = 0
        self.slots: dict[int, FakeSlot] = {}
        self.num_computed = 0  # tokens of prompts
        self.histories = [(-1, -1, ())]  # by number: the one without the last token, that token, and the whole
        self.numbers: dict[tuple[int, int], int] = {}
        self.cache = [np.full((num + 1, self.capacity.page_size), -999) for num in self.capacity.num_pages]

    def maybe_fail(self, call: str) -> None:
        if self.faults and self.faults[0] == call:
            self.faults.pop(0)
            raise self.error(f"fault injected into {call}")

    def dispatch(self, plan: StepPlan) -> FakeStep:
        self._check(plan)
        for join in plan.joins:
            self.slots[join.slot] = self._join(join)
        for change in plan.block_tables:
            assert change.group < self.capacity.num_page_groups
            assert change.pages.dtype == np.int32
            assert (change.pages > 0).all()
            assert (change.pages <= self.capacity.num_pages[change.group]).all()
            self.slots[change.slot].pages[change.group] |= dict(enumerate(change.pages.tolist(), change.first))
        self._masks = [] if plan.masks is None else list(plan.masks)
        self._pooled: list[PooledColumns] = []
        rows = [row for span in plan.spans for row in self._span(span)]
        rows += self._decode(plan)
        assert plan.masks is None or len(plan.masks) == len(rows) == len(plan.row_keys)
        ids = np.full((len(rows), plan.tokens_per_dispatch), -1, np.int32)
        for row, (tokens, _) in enumerate(rows):
            ids[row, : len(tokens)] = tokens
        self.num_unfetched += 1
        ends = np.array([end for _, end in rows], np.uint8)
        return FakeStep(self, StepOutput(ids, ends, pooled=tuple(self._pooled) or None), self.epoch)

    def _check(self, plan: StepPlan) -> None:
        assert not plan.is_empty
        spans, decoding = [span.slot for span in plan.spans], plan.decode_slots.tolist()
        assert plan.decode_slots.dtype == np.int32
        assert len(set(spans)) == len(spans)
        assert len(set(decoding)) == len(decoding)
        assert plan.tokens_per_dispatch in {1, self.capacity.tokens_per_dispatch}
        if plan.masks is not None:
            self.num_masked += 1
            assert plan.masks.dtype == np.uint32
            assert plan.tokens_per_dispatch == 1
            assert not set(spans) & set(decoding), "a second token without its mask"
        if self.capacity.is_mixed:
            assert not set(spans) & set(decoding), "a row decodes in the step of its prompt's last span"
        assert {join.slot for join in plan.joins} <= set(spans), "somebody joins without a span"
        assert {change.slot for change in plan.block_tables} <= {*spans, *decoding}
        for change in plan.block_tables:
            assert change.slot in spans or len(change.pages) <= MAX_TABLE_CHANGES_PER_ROW

    def _join(self, join: Join) -> FakeSlot:
        parts = ROW_LAYOUT.parts(join.params)
        params = {name: part.view(ROW_PARAMETERS[name].dtype).tolist() for name, part in parts.items()}
        made = join.made.tolist()
        return FakeSlot(params, made, [{} for _ in self.capacity.num_pages], num_generated=len(made))

    def _span(self, span: Span) -> list[tuple[list[int], int]]:
        self.maybe_fail("span")
        assert span.tokens.dtype == np.int32
        assert 0 < len(span.tokens) <= self.capacity.max_prefill_tokens
        slot = self.slots[span.slot]
        assert slot.num_cached in {None, span.start}, "spans out of order"
        slot.num_cached = span.start
        self.num_computed += len(span.tokens)
        for token in span.tokens.tolist():
            self._write(slot, token)
        if Yields.PROMPT_COLUMNS in span.yields:
            assert self.num_scored.get(span.row_key, 0) == span.start, "logprobs of a prompt with a hole, or twice"
            self.num_scored[span.row_key] = span.start + len(span.tokens)
        if Yields.POOLED in span.yields:
            self._pooled.append(self._pool(slot, span))
        slot.is_active = Yields.TOKEN in span.yields
        return [self._sample(slot)] if slot.is_active else []

    def _pool(self, slot: FakeSlot, span: Span) -> PooledColumns:
        """A token's state is the token, and where it stands."""
        history = self.histories[self._history(slot, windows=list(self.capacity.windows))][2]
        stored = np.array(history[span.start :], np.float32)
        states = np.stack([stored, np.arange(span.start, slot.num_cached, dtype=np.float32)], axis=1)
        if self.broken_tokens.intersection(stored.tolist()):
            states[:] = np.nan
        pooled = np.stack([states[0], states[-1], states.sum(axis=0)])
        return PooledColumns(span.row_key, span.start, len(span.tokens), pooled)

    def _decode(self, plan: StepPlan) -> list[tuple[list[int], int]]:
        slots = [self.slots[slot] for slot in plan.decode_slots.tolist()]
        if slots:
            self.maybe_fail("decode")
            if plan.masks is None:
                self.widths.append(plan.tokens_per_dispatch)
        return [self._decode_one(slot, plan.tokens_per_dispatch) for slot in slots]

    def _decode_one(self, slot: FakeSlot, num_tokens: int) -> tuple[list[int], int]:
        made, end = [], 0
        while slot.is_active and len(made) < num_tokens:
            self._write(slot, slot.last_token)
            new, end = self._sample(slot)
            made += new
        return made, end

    def _write(self, slot: FakeSlot, token: int) -> None:
        key = (self._history(slot, windows=[2] * len(slot.pages)), token)
        if key not in self.numbers:
            self.numbers[key] = len(self.histories)
            self.histories.append((*key, (*self.histories[key[0]][2], token)))
        page, offset = divmod(slot.num_cached, self.capacity.page_size)
        for cache, pages in zip(self.cache, slot.pages, strict=True):
            cache[pages[page], offset] = self.numbers[key]
        slot.num_cached += 1

    def _history(self, slot: FakeSlot, *, windows: list[int | None]) -> int:
        """The number of what stands in the row's last cell; every cell that a window of each group sees must agree."""
        end, last = slot.num_cached, 0
        for cache, pages, window in zip(self.cache, slot.pages, windows, strict=True):
            expected = None
            for position in range(end - 1, -1 if window is None else max(end - window, -1), -1):
                page, offset = divmod(position, self.capacity.page_size)
                cell = int(cache[pages[page], offset]) if page in pages else -999
                if expected is None and cell > 0:
                    expected = last = cell
                if cell != expected or len(self.histories[cell][2]) != position + 1:
                    raise WrongCellError(f"position {position} of {end} holds {cell}, not {expected}")
                expected = self.histories[cell][0]
        return last

    def _sample(self, slot: FakeSlot) -> tuple[list[int], int]:
        history = list(self.histories[self._history(slot, windows=list(self.capacity.windows))][2])
        if slot.made:
            assert history[-len(slot.made) :] == slot.made, "what it had made is not what its spans gave"
            slot.made = []
        params, slot.is_active = slot.params, False
        if self.broken_tokens.intersection(history):
            return [], ERROR
        if params["max_tokens"][0] == 0:
            return [], LENGTH
        stops = tuple(token for token in params["stop_ids"] if token >= 0)
        banned = stops if slot.num_generated < params["min_tokens"][0] else ()
        if self._masks:
            banned += tuple(set(range(VOCAB_SIZE)) - tokens_of_mask(self._masks.pop(0)))
        slot.last_token = next_token(tuple(params["rng_key"]), history, banned=banned)
        slot.num_generated += 1
        end = STOP if slot.last_token in stops else LENGTH if slot.num_generated == params["max_tokens"][0] else 0
        slot.is_active = end == 0
        return [slot.last_token], end


@dataclass
class FakeHub:
    """Keeps what every row got. `text_ends` ends a row by text after so many tokens, as a stop string does."""

    tokens: dict[int, list[int]] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    text_ends: dict[int, int] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    scheduled: dict[int, int] = field(default_factory=dict)  # row keys, and how many tokens the cache had
    cache_exits: dict[int, str] = field(default_factory=dict)  # of the row keys that asked
    num_preemptions: int = 0
    gauges: tuple[int, int, int] = (0, 0, 0)
    num_pushes: int = 0

    def mark_scheduled(self, row_key, *, num_cached_tokens=0, num_queried_tokens=0, cache_exit=None):
        assert row_key not in self.scheduled, "scheduled twice"
        self.scheduled[row_key] = num_cached_tokens
        assert 0 <= num_cached_tokens <= num_queried_tokens
        if cache_exit is not None:
            self.cache_exits[row_key] = cache_exit

    def count_preemption(self) -> None:
        self.num_preemptions += 1

    def push_step(self, keys, output, *, num_running, num_waiting, num_pages_in_use):
        ids, ends = output.ids, output.ends
        assert (keys.dtype, ids.dtype, ends.dtype) == (np.uint64, np.int32, np.uint8)
        assert keys.flags.c_contiguous
        assert ids.flags.c_contiguous
        assert len(keys) == len(ids) == len(ends)
        self.gauges = (num_running, num_waiting, num_pages_in_use)
        self.num_pushes += 1
        ended_by_text = []
        for key, row, end in zip(keys.tolist(), ids.tolist(), ends.tolist(), strict=True):
            new = [token for token in row if token >= 0]
            if self.ends.get(key) in {STOP, LENGTH}:
                assert not new, "a token after the device's end"
                assert not end, "ended twice"
            elif key not in self.ends and key & ~0xFFF not in self.failed:
                ended_by_text += self._take(key, new, end)
        return ended_by_text

    def _take(self, key: int, new: list[int], end: int) -> list[int]:
        if end == ERROR:
            self.failed.setdefault(key & ~0xFFF, "engine_error")
            return []
        tokens = self.tokens.setdefault(key, [])
        tokens += new
        limit = self.text_ends.get(key)
        if limit is not None and len(tokens) >= limit:
            del tokens[limit:]
            self.ends[key] = -1
            return [key]
        if end:
            self.ends[key] = end
        return []

    def fail(self, stream_key: int, kind: str, message: str, *, param: str | None = None) -> bool:
        assert "\n" not in message
        return self.failed.setdefault(stream_key, kind) == kind
