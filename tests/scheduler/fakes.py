"""A device and a hub to schedule against, in numpy and plain Python, each checking what the real one relies on.

The fake's next token is a hash of the sequence's key and of every token that it reads back from the cache through its
block table. So a page that two sequences share, a slice at a wrong position or a slot advanced once too often changes
the tokens, and `naive_tokens`, which knows no pages, slots or steps, is the judge.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from penstock.engine.interface import Capacity, PrefillSlice
from penstock.generation import GenerationRequest, Prompt, SamplingParams
from penstock.scheduler.sequence import sampling_key

VOCAB_SIZE = 23
STOP, LENGTH = 1, 2


def small_capacity(**changes: int) -> Capacity:
    sizes = {
        "num_slots": 4,
        "num_pages": 24,
        "page_size": 4,
        "max_model_len": 48,
        "max_prefill_tokens": 8,
        "tokens_per_dispatch": 1,
        "pipeline_depth": 1,
    }
    return Capacity(**(sizes | changes))


def next_token(key: tuple[int, int], history: list[int]) -> int:
    return hash((*key, *history)) % VOCAB_SIZE


def naive_tokens(request: GenerationRequest, index: int, *, stop_ids: tuple[int, ...]) -> tuple[list[int], int]:
    """What choice `index` makes when nothing else exists: (ids, end)."""
    prompt, choice = divmod(index, request.sampling.n)
    key = (0, 0) if request.sampling.is_greedy else sampling_key(request.sampling.seed, prompt, choice)
    history, made = list(request.prompts[prompt].ids), []
    while True:
        made.append(next_token(key, history))
        history.append(made[-1])
        if made[-1] in stop_ids + request.sampling.stop_token_ids:
            return made, STOP
        if len(made) == request.sampling.max_tokens:
            return made, LENGTH


def make_request(
    stream: int, prompts: list[list[int]], max_tokens: int, *, n: int = 1, seed: int = 0, temperature: float = 1.0
) -> GenerationRequest:
    sampling = SamplingParams(max_tokens=max_tokens, n=n, seed=seed, temperature=temperature)
    return GenerationRequest(stream << 12, tuple(map(Prompt.of_ids, prompts)), sampling, request_id=f"req_{stream}")


@dataclass
class FakeResult:
    runner: FakeRunner
    ids: np.ndarray
    ends: np.ndarray
    epoch: int

    def fetch(self) -> tuple[np.ndarray, np.ndarray]:
        assert self.epoch == self.runner.epoch, "a step from before the reset was fetched"
        self.runner.num_unfetched -= 1
        self.runner.maybe_fail("fetch")
        return self.ids, self.ends


@dataclass
class FakeSlot:
    pages: np.ndarray
    num_cached: int = 0
    key: tuple[int, int] = (0, 0)
    remaining: int = 0
    stop_ids: tuple[int, ...] = ()
    last_token: int = -1
    is_active: bool = False


class FakeRunner:
    """Runs in dispatch order, as a device does. `faults` names the next calls that fail: prefill, decode, fetch."""

    def __init__(self, capacity: Capacity) -> None:
        self.capacity = capacity
        self.faults: list[str] = []
        self.error: type[Exception] = RuntimeError
        self.epoch = 0
        self.widths: list[int] = []  # tokens of every decode
        self.reset()

    def reset(self) -> None:
        self.epoch += 1
        self.num_unfetched = 0
        self.slots: dict[int, FakeSlot] = {}
        self.cache = np.full((self.capacity.num_pages + 1, self.capacity.page_size), -999)

    def maybe_fail(self, call: str) -> None:
        if self.faults and self.faults[0] == call:
            self.faults.pop(0)
            raise self.error(f"fault injected into {call}")

    def prefill(self, piece: PrefillSlice) -> FakeResult:
        self.maybe_fail("prefill")
        assert piece.tokens.dtype == piece.pages.dtype == np.int32
        assert 0 < len(piece.tokens) <= self.capacity.max_prefill_tokens
        assert (piece.pages > 0).all()
        if piece.start == 0:
            self.slots[piece.slot] = FakeSlot(pages=piece.pages)
        slot = self.slots[piece.slot]
        assert slot.num_cached == piece.start, "slices out of order"
        for token in piece.tokens.tolist():
            self._write(slot, token)
        if not piece.is_last:
            return self._in_flight(np.empty((0, 1), np.int32), np.empty(0, np.uint8))
        slot.key = (0, 0) if piece.temperature == 0 else piece.key
        slot.remaining, slot.stop_ids, slot.is_active = piece.max_new_tokens, piece.stop_ids, True
        token, end = self._sample(slot)
        return self._in_flight(np.array([[token]], np.int32), np.array([end], np.uint8))

    def decode(self, slots: np.ndarray, *, tokens: int = 1) -> FakeResult:
        self.maybe_fail("decode")
        assert slots.dtype == np.int32
        assert len(set(slots.tolist())) == len(slots) > 0
        assert tokens in {1, self.capacity.tokens_per_dispatch}
        self.widths.append(tokens)
        packed = np.full((len(slots), tokens + 1), -1, np.int32)  # ids are a view into it, as on the real device
        ids, ends = packed[:, :-1], np.zeros(len(slots), np.uint8)
        for row, slot in enumerate(self.slots[slot] for slot in slots.tolist()):
            for column in range(tokens):
                if slot.is_active:
                    self._write(slot, slot.last_token)
                    ids[row, column], ends[row] = self._sample(slot)
        return self._in_flight(ids, ends)

    def _in_flight(self, ids: np.ndarray, ends: np.ndarray) -> FakeResult:
        self.num_unfetched += 1
        return FakeResult(self, ids, ends, self.epoch)

    def _write(self, slot: FakeSlot, token: int) -> None:
        page, offset = divmod(slot.num_cached, self.capacity.page_size)
        self.cache[slot.pages[page], offset] = token
        slot.num_cached += 1

    def _sample(self, slot: FakeSlot) -> tuple[int, int]:
        history = self.cache[slot.pages].ravel()[: slot.num_cached].tolist()
        slot.last_token = token = next_token(slot.key, history)
        slot.remaining -= 1
        end = STOP if token in slot.stop_ids else LENGTH if slot.remaining == 0 else 0
        slot.is_active = end == 0
        return token, end


@dataclass
class FakeHub:
    """Keeps what every row got. `text_ends` ends a row by text after so many tokens, as a stop string does."""

    tokens: dict[int, list[int]] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    text_ends: dict[int, int] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    scheduled: list[int] = field(default_factory=list)
    gauges: tuple[int, int, int] = (0, 0, 0)
    num_pushes: int = 0

    def mark_scheduled(self, row_key: int) -> None:
        self.scheduled.append(row_key)

    def push_step(self, keys, ids, ends, *, num_running, num_waiting, num_pages_in_use):
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
