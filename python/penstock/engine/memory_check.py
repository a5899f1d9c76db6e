"""Whether a model fits: what it needs against what there is, before anything is loaded, and again when all programs are
compiled and tell what they really take."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import jax

from penstock.engine.interface import NUM_TOP_LOGPROBS
from penstock.engine.program_set import SCORE_BLOCK
from penstock.errors import ConfigError
from penstock.layers.moe_spec import MoeSpec
from penstock.models.spec import DecoderSpec, LayerSpec

log = logging.getLogger("penstock.engine")

#: Where a process in a container finds the limits of its control group.
CGROUP = Path("/sys/fs/cgroup")
#: Share of an accelerator's memory that may be filled; the rest is for XLA's own.
DEVICE_SHARE = 0.9
#: Arrays as large as the logits that the sampler and a prompt's scores hold at once, counted in compiled programs.
_LOGITS_AT_ONCE = 10
_SCORES_AT_ONCE = 4
#: A layer's widest activations that are alive at once, in and out of a product.
_WIDTHS_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Needs:
    """Bytes that an engine takes on its device.

    Attributes:
        state: of what is kept of every slot beside the cache.
        temporaries: that the largest program takes while it runs.
        cache: of the KV cache.
    """

    weights: int
    state: int
    temporaries: int
    cache: int

    @property
    def total(self) -> int:
        return self.weights + self.state + self.temporaries + self.cache

    def __str__(self) -> str:
        parts = ("weights", self.weights), ("slots", self.state), ("programs", self.temporaries), ("cache", self.cache)
        return " + ".join(f"{name} {shown_size(num_bytes)}" for name, num_bytes in parts)


def check_fits(needs: Needs, available: int, *, model: str, device: jax.Device) -> None:
    """Raises ConfigError, with all numbers, where an engine needs more than there is.

    Args:
        needs: with the least cache that it can do with, or the one that was asked for.
    """
    if needs.total > available:
        raise ConfigError(
            f"{model} does not fit: it needs {shown_size(needs.total)} ({needs}), {device} has "
            f"{shown_size(available)} free. A smaller --dtype, --kv-cache-dtype, --max-model-len, --max-num-seqs or "
            "--max-prefill-tokens needs less"
        )


def available_bytes(device: jax.Device, *, num_devices: int = 1) -> int:
    """What can be filled: of an accelerator its own memory, of a CPU the host's, which virtual devices share."""
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats:
        return int(stats["bytes_limit"] * DEVICE_SHARE) - int(stats["bytes_in_use"])
    return free_host_bytes() // num_devices


def free_host_bytes() -> int:
    """What the host can still give: MemAvailable, or less under a cgroup's limit."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    try:
        return min(free, free_cgroup_bytes(CGROUP))
    except OSError:
        return free


def free_cgroup_bytes(folder: Path) -> int:
    """What the control group of `folder` (cgroup v2) may still take. Pages of files that it has read count as used
    there, a whole model that was just copied or read among them, but they go as soon as something else wants room."""
    limit = (folder / "memory.max").read_text().strip()
    if limit == "max":
        return sys.maxsize
    used = int((folder / "memory.current").read_text())
    stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    return int(limit) - used + int(stat["inactive_file"]) + int(stat["active_file"])


def estimated_temporaries(
    spec: DecoderSpec, *, num_slots: int, max_prefill_tokens: int, block_size: int, num_bytes: int, state_bytes: int
) -> int:
    """What the largest program will take while it runs: rows through the widest layer, or logits through the sampler.

    Args:
        block_size: keys that attention reads at once; num_bytes: of a number; state_bytes: of the slots, of which a
            loop over several tokens keeps copies.
    """
    rows = max(num_slots, max_prefill_tokens)
    logits = num_slots * spec.vocab_size * 4 * _LOGITS_AT_ONCE
    scored = SCORE_BLOCK * (spec.vocab_size + 2 * NUM_TOP_LOGPROBS) * 4 * _SCORES_AT_ONCE
    widest = max(_widest(layer, spec.hidden_size) for layer in spec.layers)
    activations = rows * (widest + 4 * spec.hidden_size) * num_bytes * _WIDTHS_AT_ONCE
    read = num_slots * block_size * (widest + max(layer.cache.numbers_per_token for layer in spec.layers)) * 4
    return max(logits, scored) + activations + read + 2 * state_bytes


def _widest(layer: LayerSpec, hidden_size: int) -> int:
    """Numbers that a layer's widest product gives of a row; of experts, of all that it is sent to."""
    num_chosen = layer.feed_forward.router.num_chosen if isinstance(layer.feed_forward, MoeSpec) else 1
    return max(
        num_chosen * prod(leaf.shape[2:]) if leaf.has_experts else prod(leaf.shape[1:])
        for leaf in layer.leaves(hidden_size)
    )


def temporaries_of(programs: Mapping[Any, Any]) -> int:
    """What the largest of compiled programs takes while it runs; 0 where the backend does not say."""
    largest = 0
    for compiled in programs.values():
        with contextlib.suppress(Exception):  # no backend has to have an answer, and some raise
            largest = max(largest, int(compiled.memory_analysis().temp_size_in_bytes))
    return largest


def check_temporaries(
    programs: Mapping[Any, Any], *, cache_bytes: int, device: jax.Device, num_devices: int = 1
) -> None:
    """Holds what the programs really take against what there is beside the weights, which are loaded by then.

    Raises:
        ConfigError: the first step that uses all would fail.
    """
    found, left = temporaries_of(programs), available_bytes(device, num_devices=num_devices) - cache_bytes
    log.info("programs take %s while they run, %s is left for them", shown_size(found), shown_size(left))
    if found > left:
        raise ConfigError(
            f"the model's programs need {shown_size(found)} while they run, {shown_size(left)} is left on {device}: "
            "lower --kv-cache-memory, --max-prefill-tokens or --max-num-seqs"
        )


def shown_size(num_bytes: int) -> str:
    """As "3.68 MB"."""
    value = float(max(num_bytes, 0))
    for unit in ("B", "KB", "MB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} GB"
