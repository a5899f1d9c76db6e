"""What differs between a CPU, a GPU and a TPU, in one table."""

from __future__ import annotations

from dataclasses import dataclass

import jax

from penstock.layers.attention import PagedAttention
from penstock.layers.gather_attention import GatherAttention
from penstock.layers.kernel_attention import KernelAttention


@dataclass(frozen=True, slots=True)
class Platform:
    """The defaults of one kind of device.

    Attributes:
        dtype: of weights and cache. On CPU XLA computes bfloat16 13 times slower than float32.
        attention: the implementation; it owns the size of a page.
        is_dynamic: whether a trip count may depend on data; on a GPU that waits for the device each time.
        tokens_per_dispatch: gains nothing on CPU; on accelerators it hides the host.
        pipeline_depth: a step under way hides the host (88M parameters in int8, two cores: 1.05 of llama.cpp's tokens
            per second instead of 0.98 at one stream, 2.0 instead of 1.7 at eight).
        max_prefill_tokens: what a step may compute of prompts: 128 of an 88M-parameter model take 145 ms on two cores,
            512 of an 8B one some 9 ms on an H200.
        max_prefill_tokens_beside: the same where other streams' next tokens wait for it.
        has_kernels: whether matrices are packed for our kernels (`rust/kernels`). They leave padding out, so a span and
            the rows that decode are one program, which reads the weights once.
        kernel_attention: what takes the place of `attention` beside them.
        compiler_options: XLA's, for every program.
    """

    dtype: str
    attention: PagedAttention
    is_dynamic: bool
    tokens_per_dispatch: int
    pipeline_depth: int
    max_prefill_tokens: int
    max_prefill_tokens_beside: int
    has_kernels: bool = False
    compiler_options: tuple[tuple[str, str | int], ...] = ()
    kernel_attention: PagedAttention | None = None

    def attention_of(self, *, has_kernels: bool) -> PagedAttention:
        return self.kernel_attention if has_kernels and self.kernel_attention is not None else self.attention


#: jax 0.10.2 hands sums of products to a CPU library that gets some of them wrong (decode attention over a block table
#: of one block was off by its own size; 0.11.2 is right). Matrix products keep it: without it they are no faster.
#: Level 2 of LLVM compiles in 0.95 of the time of the default, 3, and decodes long contexts faster (8 rows of 1800
#: positions: 190 ms a step against 213).
_CPU_OPTIONS = (
    ("xla_cpu_experimental_ynn_fusion_type", "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"),
    ("xla_backend_optimization_level", 2),
)

PLATFORMS = {
    "cpu": Platform(
        "float32", GatherAttention(16, 64, is_dynamic=True), True, 1, 2, 128, 32, True, _CPU_OPTIONS, KernelAttention()
    ),
    "gpu": Platform("bfloat16", GatherAttention(64, 512, is_dynamic=False), False, 8, 2, 512, 512),
    "tpu": Platform("bfloat16", GatherAttention(128, 512, is_dynamic=False), False, 8, 2, 512, 512),
}


def platform_of(device: jax.Device) -> Platform:
    """The row of a device; an unknown kind is treated as a GPU."""
    return PLATFORMS.get(device.platform, PLATFORMS["gpu"])
