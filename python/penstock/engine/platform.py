"""What differs between a CPU, a GPU and a TPU, in one table."""

from __future__ import annotations

from dataclasses import dataclass

import jax


@dataclass(frozen=True, slots=True)
class Platform:
    """The defaults of one kind of device.

    Attributes:
        dtype: of weights and cache. On CPU XLA computes bfloat16 13 times slower than float32.
        page_size: tokens per page.
        block_size: keys that the gather attention reads at once; a multiple of `page_size`.
        is_dynamic: whether a trip count may depend on data; on a GPU that waits for the device each time.
        tokens_per_dispatch, pipeline_depth: neither gains on CPU; on accelerators they hide the host.
    """

    dtype: str
    page_size: int
    block_size: int
    is_dynamic: bool
    tokens_per_dispatch: int
    pipeline_depth: int


PLATFORMS = {
    "cpu": Platform("float32", 16, 64, is_dynamic=True, tokens_per_dispatch=1, pipeline_depth=1),
    "gpu": Platform("bfloat16", 64, 512, is_dynamic=False, tokens_per_dispatch=8, pipeline_depth=2),
    "tpu": Platform("bfloat16", 128, 512, is_dynamic=False, tokens_per_dispatch=8, pipeline_depth=2),
}


def platform_of(device: jax.Device) -> Platform:
    """The row of a device; an unknown kind is treated as a GPU."""
    return PLATFORMS.get(device.platform, PLATFORMS["gpu"])
