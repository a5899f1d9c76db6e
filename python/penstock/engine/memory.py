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
        page_bytes: of a page of every layer.
        num_pages: usable ones of every page group; page 0 comes on top.
        max_model_len: what was wanted, or what fits where nobody asked for a length.
    """

    weight_bytes: int
    state_bytes: int
    page_bytes: int
    num_pages: int
    max_model_len: int

    @property
    def cache_bytes(self) -> int:
        return self.page_bytes * (self.num_pages + 1)


def plan_memory(
    spec: DecoderSpec, options: EngineOptions, *, dtype: str, page_size: int, max_model_len: int, device: jax.Device
) -> MemoryPlan:
    """Decides the number of pages: enough for all slots at full length, or as many as fit. Of several devices each
    holds the same, and `spec` is of its shard.

    Raises:
        ConfigError: when not even one sequence of the length that was asked for fits.
    """
    weight_bytes = num_parameters(spec) * _num_bytes(dtype)
    caches = [layer.cache for layer in spec.layers]
    page_bytes = page_size * sum(cache.numbers_per_token * _num_bytes(cache.dtype or dtype) for cache in caches)
    pages_per_sequence = -(-max_model_len // page_size)
    state_bytes = (options.max_num_seqs + 1) * slot_bytes(spec.vocab_size)
    num_devices = options.tensor_parallel_size
    budget = options.kv_cache_memory or _free_for_cache(device, weight_bytes + state_bytes, num_devices=num_devices)
    num_pages = budget // page_bytes - 1
    if options.kv_cache_memory is None:
        num_pages = _steady(num_pages)
    num_pages = min(options.max_num_seqs * pages_per_sequence, num_pages)
    if num_pages < pages_per_sequence:
        wanted = _size((pages_per_sequence + 1) * page_bytes)
        if options.max_model_len is not None or num_pages < 1:
            raise ConfigError(
                f"a sequence of {max_model_len} tokens needs {wanted} of KV cache, {_size(budget)} can be had: "
                "lower --max-model-len or raise --kv-cache-memory"
            )
        log.warning("the model's %d positions need %s of KV cache, %s can be had", max_model_len, wanted, _size(budget))
        pages_per_sequence, max_model_len = num_pages, num_pages * page_size
    plan = MemoryPlan(weight_bytes, state_bytes, page_bytes, num_pages, max_model_len)
    others = f" and as much on {num_devices - 1} more" if num_devices > 1 else ""
    log.info(
        "memory on %s%s: weights %s (%s), slots %s, KV cache %s = %d pages of %d tokens, %d sequences of %d at once",
        device, others, _size(weight_bytes), dtype, _size(state_bytes), _size(plan.cache_bytes), num_pages, page_size,
        num_pages // pages_per_sequence, max_model_len,
    )  # fmt: skip
    return plan


def slot_bytes(vocab_size: int) -> int:
    """Of one slot's rules, its counts of tokens and a mask that forbids nothing; the rest is too small to count."""
    return 4 * rules_layout(vocab_size).num_words + 2 * vocab_size + 4 * num_mask_words(vocab_size)


def _num_bytes(dtype: str) -> int:
    return 4 if dtype == "float32" else 2


def _free_for_cache(device: jax.Device, planned_bytes: int, *, num_devices: int) -> int:
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats:
        return int(stats["bytes_limit"] * DEVICE_SHARE) - int(stats["bytes_in_use"]) - planned_bytes
    return int((free_host_bytes() / num_devices - planned_bytes) * HOST_SHARE)  # a CPU's devices share its memory


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
