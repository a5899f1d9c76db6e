"""The memory plan: how many pages the KV cache gets, decided and logged before anything is loaded."""

from __future__ import annotations

import contextlib
import ctypes
import logging
from dataclasses import dataclass

import jax

from penstock.engine.interface import EngineOptions
from penstock.engine.memory_check import Needs, available_bytes, check_fits, estimated_temporaries, shown_size
from penstock.engine.token_rules import num_mask_words, rules_layout
from penstock.errors import ConfigError
from penstock.models.spec import DecoderSpec
from penstock.models.tree import num_parameters

log = logging.getLogger("penstock.engine")

#: Share of the host's free memory that the cache may take on CPU.
HOST_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Bytes on the device.

    Attributes:
        state_bytes: of what is kept of every slot beside the cache.
        temporary_bytes: what the largest program is expected to take while it runs.
        page_bytes: of a page of every layer.
        num_pages: usable ones of every page group; page 0 comes on top.
        max_model_len: what was wanted, or what fits where nobody asked for a length.
    """

    weight_bytes: int
    state_bytes: int
    temporary_bytes: int
    page_bytes: int
    num_pages: int
    max_model_len: int

    @property
    def cache_bytes(self) -> int:
        return self.page_bytes * (self.num_pages + 1)


def plan_memory(
    spec: DecoderSpec, options: EngineOptions, *,
    model: str, dtype: str, kv_dtype: str, page_size: int, block_size: int, max_model_len: int,
    max_prefill_tokens: int, device: jax.Device,
) -> MemoryPlan:  # fmt: skip
    """Decides the number of pages: enough for all slots at full length, or as many as fit. Of several devices each
    holds the same, and `spec` is of its shard.

    Args:
        model: its name, for errors.

    Raises:
        ConfigError: when the model does not fit, or not even one sequence of the length that was asked for does.
    """
    weight_bytes = num_parameters(spec) * _num_bytes(dtype)
    caches = [layer.cache for layer in spec.layers]
    page_bytes = page_size * sum(cache.numbers_per_token * _num_bytes(cache.dtype or kv_dtype) for cache in caches)
    pages_per_sequence = -(-max_model_len // page_size)
    state_bytes = (options.max_num_seqs + 1) * slot_bytes(spec.vocab_size)
    num_devices = options.tensor_parallel_size
    temporary_bytes = estimated_temporaries(
        spec, num_slots=options.max_num_seqs, max_prefill_tokens=max_prefill_tokens, block_size=block_size,
        num_bytes=_num_bytes(dtype), state_bytes=state_bytes,
    )  # fmt: skip
    available = available_bytes(device, num_devices=num_devices)
    least = options.kv_cache_memory or page_bytes * (1 + (pages_per_sequence if options.max_model_len else 1))
    check_fits(Needs(weight_bytes, state_bytes, temporary_bytes, least), available, model=model, device=device)
    budget = options.kv_cache_memory or _share_for_cache(
        device, available - weight_bytes - state_bytes - temporary_bytes
    )
    num_pages = budget // page_bytes - 1
    if options.kv_cache_memory is None:
        num_pages = _steady(num_pages)
    num_pages = min(options.max_num_seqs * pages_per_sequence, num_pages)
    if num_pages < pages_per_sequence:
        wanted = shown_size((pages_per_sequence + 1) * page_bytes)
        if options.max_model_len is not None or num_pages < 1:
            raise ConfigError(
                f"a sequence of {max_model_len} tokens needs {wanted} of KV cache, {shown_size(budget)} can be had: "
                "lower --max-model-len or raise --kv-cache-memory"
            )
        log.warning(
            "the model's %d positions need %s of KV cache, %s can be had", max_model_len, wanted, shown_size(budget)
        )
        pages_per_sequence, max_model_len = num_pages, num_pages * page_size
    plan = MemoryPlan(weight_bytes, state_bytes, temporary_bytes, page_bytes, num_pages, max_model_len)
    others = f" and as much on {num_devices - 1} more" if num_devices > 1 else ""
    log.info(
        "memory on %s%s, %s free: weights %s (%s), slots %s, programs %s, KV cache %s (%s) = %d pages of %d tokens, "
        "%d sequences of %d at once",
        device, others, shown_size(available), shown_size(weight_bytes), dtype, shown_size(state_bytes),
        shown_size(temporary_bytes), shown_size(plan.cache_bytes), kv_dtype, num_pages, page_size,
        num_pages // pages_per_sequence, max_model_len,
    )  # fmt: skip
    return plan


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
