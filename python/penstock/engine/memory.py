"""The memory plan: how many pages the KV cache gets, decided and logged before anything is loaded."""

from __future__ import annotations

import contextlib
import ctypes
import logging
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from penstock.engine.interface import EngineOptions
from penstock.engine.page_plan import PageNeeds, window_pages
from penstock.engine.token_rules import num_mask_words, rules_layout
from penstock.errors import ConfigError
from penstock.models.spec import DecoderSpec
from penstock.models.tree import num_parameters

log = logging.getLogger("penstock.engine")

#: Share of an accelerator's memory that may be filled; the rest is for XLA's temporaries and programs.
DEVICE_SHARE = 0.9
#: Share of the host's free memory that the cache may take on CPU.
HOST_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Bytes on the device.

    Attributes:
        state_bytes: of what is kept of every slot beside the cache.
        cache_bytes: of all pages.
        num_pages: usable ones of each page group; page 0 comes on top.
        max_model_len: what was wanted, or what fits where nobody asked for a length.
    """

    weight_bytes: int
    state_bytes: int
    cache_bytes: int
    num_pages: tuple[int, ...]
    max_model_len: int


def plan_memory(
    spec: DecoderSpec, options: EngineOptions, *,
    dtype: str, page_size: int, max_model_len: int, max_span: int, device: jax.Device,
) -> MemoryPlan:  # fmt: skip
    """Decides the number of pages: enough for all slots at full length, or as many as fit.

    Args:
        max_span: tokens that one step stores of a sequence at most.

    Raises:
        ConfigError: when not even one sequence of the length that was asked for fits.
    """
    weight_bytes = num_parameters(spec) * _num_bytes(dtype)
    needs = page_needs(spec, dtype=dtype, page_size=page_size, max_span=max_span)
    pages_per_sequence = -(-max_model_len // page_size)
    state_bytes = (options.max_num_seqs + 1) * slot_bytes(spec.vocab_size)
    budget = options.kv_cache_memory or _free_for_cache(device, weight_bytes + state_bytes)
    longest = needs.longest_within(budget, limit=pages_per_sequence)
    if longest < pages_per_sequence:
        wanted = _size(needs.num_bytes(needs.of_sequence(pages_per_sequence)))
        if options.max_model_len is not None or longest < 1:
            raise ConfigError(
                f"a sequence of {max_model_len} tokens needs {wanted} of KV cache, {_size(budget)} can be had: "
                "lower --max-model-len or raise --kv-cache-memory"
            )
        log.warning("the model's %d positions need %s of KV cache, %s can be had", max_model_len, wanted, _size(budget))
        pages_per_sequence, max_model_len = longest, longest * page_size
    of_longest, num_slots = needs.of_sequence(pages_per_sequence), options.max_num_seqs
    most = needs.most_within(budget, of_longest=of_longest, num_slots=num_slots)
    num_wanted = _steady(most) if options.kv_cache_memory is None else most
    num_pages = needs.shares(num_wanted, of_longest=of_longest, num_slots=num_slots)
    plan = MemoryPlan(weight_bytes, state_bytes, needs.num_bytes(num_pages), num_pages, max_model_len)
    log.info(
        "memory on %s: weights %s (%s), slots %s, KV cache %s = %s pages of %d tokens, %d sequences of %d at once",
        device, _size(weight_bytes), dtype, _size(state_bytes), _size(plan.cache_bytes),
        " + ".join(map(str, num_pages)), page_size,
        min(num // one for num, one in zip(num_pages, of_longest, strict=True)), max_model_len,
    )  # fmt: skip
    return plan


def page_needs(spec: DecoderSpec, *, dtype: str, page_size: int, max_span: int) -> PageNeeds:
    """What the page groups of a model need."""
    page_bytes, max_pages = [], []
    for group in spec.page_groups:
        caches = [spec.layers[number].cache for number in group.layers]
        page_bytes.append(page_size * sum(each.numbers_per_token * _num_bytes(each.dtype or dtype) for each in caches))
        window = group.window
        max_pages.append(None if window is None else window_pages(window, page_size=page_size, max_span=max_span))
    return PageNeeds(tuple(page_bytes), tuple(max_pages))


def slot_bytes(vocab_size: int) -> int:
    """Of one slot's rules, its counts of tokens and a mask that forbids nothing; the rest is too small to count."""
    return 4 * rules_layout(vocab_size).num_words + 2 * vocab_size + 4 * num_mask_words(vocab_size)


def _num_bytes(dtype: str) -> int:
    return 4 if dtype == "float32" else 2


def _free_for_cache(device: jax.Device, planned_bytes: int) -> int:
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats:
        return int(stats["bytes_limit"] * DEVICE_SHARE) - int(stats["bytes_in_use"]) - planned_bytes
    return int((free_host_bytes() - planned_bytes) * HOST_SHARE)


def _steady(num_pages: int) -> int:
    """Rounds down to three leading bits: a program's shapes name the number of pages, and free memory differs from
    start to start, so an exact number would compile everything anew each time."""
    spare_bits = max(num_pages.bit_length() - 3, 0)
    return num_pages >> spare_bits << spare_bits if num_pages > 0 else num_pages


def free_host_bytes() -> int:
    """What the host can still give: MemAvailable, or less under a cgroup's limit."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
    except OSError:
        return free
    return free if limit == "max" else min(free, int(limit) - used)


def _size(num_bytes: int) -> str:
    value = float(np.maximum(num_bytes, 0))
    for unit in ("B", "KB", "MB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} GB"


def give_back_free_memory() -> None:
    """Has the C library return what it keeps of freed memory: compiling leaves 250 MB of it (bundled model, CPU).

    Only glibc has a call for that.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
