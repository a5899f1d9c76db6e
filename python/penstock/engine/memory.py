"""The memory plan: how many pages the KV cache gets, decided and logged before anything is loaded."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import math
from dataclasses import dataclass

import jax

from penstock.engine.interface import EngineOptions
from penstock.engine.memory_check import Needs, available_bytes, check_fits, estimated_temporaries, shown_size
from penstock.engine.page_plan import PageNeeds, window_pages
from penstock.engine.token_rules import num_mask_words, rules_layout
from penstock.errors import ConfigError
from penstock.layers.attention import PagedAttention
from penstock.models.spec import DecoderSpec

log = logging.getLogger("penstock.engine")

#: Share of the host's free memory that the cache may take on CPU.
HOST_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Bytes on the device.

    Attributes:
        state_bytes: of what is kept of every slot beside the cache.
        temporary_bytes: what the largest program is expected to take while it runs.
        cache_bytes: of all pages.
        num_pages: usable ones of each page group; page 0 comes on top.
        max_model_len: what was wanted, or what fits where nobody asked for a length.
    """

    weight_bytes: int
    state_bytes: int
    temporary_bytes: int
    cache_bytes: int
    num_pages: tuple[int, ...]
    max_model_len: int


def plan_memory(
    spec: DecoderSpec, options: EngineOptions, *,
    model: str, weight_bytes: int, dtype: str, kv_dtype: str, attention: PagedAttention, max_model_len: int,
    max_prefill_tokens: int, max_span: int, device: jax.Device,
) -> MemoryPlan:  # fmt: skip
    """Decides the number of pages: enough for all slots at full length, or as many as fit. Of several devices each
    holds the same, and `spec` is of its shard.

    Args:
        model: its name, for errors.
        weight_bytes: of the whole tree.
        max_span: tokens that one step stores of a sequence at most.

    Raises:
        ConfigError: when the model does not fit, or not even one sequence of the length that was asked for does.
    """
    needs = page_needs(spec, kv_dtype=kv_dtype, attention=attention, max_span=max_span)
    page_size = attention.page_size
    pages_per_sequence = -(-max_model_len // page_size)
    state_bytes = (options.max_num_seqs + 1) * slot_bytes(spec.vocab_size)
    num_devices = options.tensor_parallel_size
    temporary_bytes = estimated_temporaries(
        spec, num_slots=options.max_num_seqs, max_prefill_tokens=max_prefill_tokens, block_size=attention.block_size,
        num_bytes=_num_bytes(dtype), state_bytes=state_bytes,
    )  # fmt: skip
    available = available_bytes(device, num_devices=num_devices)
    least = needs.num_bytes(needs.of_sequence(pages_per_sequence if options.max_model_len else 1))
    of_all = Needs(weight_bytes, state_bytes, temporary_bytes, options.kv_cache_memory or least)
    check_fits(of_all, available, model=model, device=device)
    budget = options.kv_cache_memory or _share_for_cache(
        device, available - weight_bytes - state_bytes - temporary_bytes
    )
    max_model_len = _context_within(
        budget, needs, page_size=page_size, wanted=max_model_len, is_asked_for=options.max_model_len is not None
    )
    of_longest = needs.of_sequence(-(-max_model_len // page_size))
    num_pages = _pages_within(
        budget, needs, of_longest, num_slots=options.max_num_seqs, is_measured=options.kv_cache_memory is None
    )
    cache_bytes = needs.num_bytes(num_pages)
    plan = MemoryPlan(weight_bytes, state_bytes, temporary_bytes, cache_bytes, num_pages, max_model_len)
    others = f" and as much on {num_devices - 1} more" if num_devices > 1 else ""
    log.info(
        "memory on %s%s, %s free: weights %s (%s), slots %s, programs %s, KV cache %s (%s) = %s pages of %d tokens, "
        "%d sequences of %d at once",
        device, others, shown_size(available), shown_size(weight_bytes), dtype, shown_size(state_bytes),
        shown_size(temporary_bytes), shown_size(cache_bytes), kv_dtype, " + ".join(map(str, num_pages)), page_size,
        min(num // one for num, one in zip(num_pages, of_longest, strict=True)), max_model_len,
    )  # fmt: skip
    return plan


def _context_within(budget: int, needs: PageNeeds, *, page_size: int, wanted: int, is_asked_for: bool) -> int:
    """Tokens of the longest sequence that a cache of `budget` bytes holds, `wanted` at most. ConfigError where it is
    less than what was asked for, or nothing."""
    pages_per_sequence = -(-wanted // page_size)
    longest = needs.longest_within(budget, limit=pages_per_sequence)
    if longest == pages_per_sequence:
        return wanted
    wanted_size = shown_size(needs.num_bytes(needs.of_sequence(pages_per_sequence)))
    if is_asked_for or longest < 1:
        raise ConfigError(
            f"a sequence of {wanted} tokens needs {wanted_size} of KV cache, {shown_size(budget)} can be had: "
            "lower --max-model-len or raise --kv-cache-memory"
        )
    log.warning("the model's %d positions need %s of KV cache, %s can be had", wanted, wanted_size, shown_size(budget))
    return longest * page_size


def _pages_within(
    budget: int, needs: PageNeeds, of_longest: tuple[int, ...], *, num_slots: int, is_measured: bool
) -> tuple[int, ...]:
    """Pages of each group in a cache of `budget` bytes. `is_measured`: the budget is what memory happens to be free."""
    most = needs.most_within(budget, of_longest=of_longest, num_slots=num_slots)
    if is_measured and most < num_slots * max(of_longest):
        most = _steady(most)
    return needs.shares(most, of_longest=of_longest, num_slots=num_slots)


def page_needs(spec: DecoderSpec, *, kv_dtype: str, attention: PagedAttention, max_span: int) -> PageNeeds:
    """What the page groups of a model need."""
    page_bytes, max_pages = [], []
    for group in spec.page_groups:
        caches = [spec.layers[number].cache for number in group.layers]
        numbers = [math.prod(attention.cache_shape(each, num_pages=1)) for each in caches]
        sizes = [_num_bytes(each.dtype or kv_dtype) for each in caches]
        page_bytes.append(sum(num * size for num, size in zip(numbers, sizes, strict=True)))
        window = group.window
        most = None if window is None else window_pages(window, page_size=attention.page_size, max_span=max_span)
        max_pages.append(most)
    return PageNeeds(tuple(page_bytes), tuple(max_pages))


def slot_bytes(vocab_size: int) -> int:
    """Of one slot's rules, its counts of tokens and a mask that forbids nothing; the rest is too small to count."""
    return 4 * rules_layout(vocab_size).num_words + 2 * vocab_size + 4 * num_mask_words(vocab_size)


def _num_bytes(dtype: str) -> int:
    return 4 if dtype == "float32" else 2


def _share_for_cache(device: jax.Device, left_bytes: int) -> int:
    """Of what is left beside the rest: on a CPU others want some of it."""
    return int(left_bytes * HOST_SHARE) if device.platform == "cpu" else left_bytes


def _steady(num_pages: int) -> int:
    """Rounds down to three leading bits: a program's shapes name the number of pages, and free memory differs from
    start to start, so an exact number would compile everything anew each time."""
    spare_bits = max(num_pages.bit_length() - 3, 0)
    return num_pages >> spare_bits << spare_bits if num_pages > 0 else num_pages


def give_back_free_memory() -> None:
    """Has the C library return what it keeps of freed memory: compiling leaves 250 MB of it (bundled model, CPU).

    Only glibc has a call for that.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
