"""How an engine is planned: what it will hold, which weights are packed, and what all of its programs share."""

from __future__ import annotations

import jax

from penstock._core import KERNEL_ABI, choose_kernel_isa
from penstock.checkpoint import Checkpoint
from penstock.engine.interface import Capacity, EngineOptions
from penstock.engine.memory import plan_memory
from penstock.engine.platform import platform_of
from penstock.engine.program_set import ProgramConfig, prefill_buckets
from penstock.errors import ConfigError
from penstock.models.sharding import shard_of
from penstock.weight_formats import WeightFormats, weight_formats
from penstock.weights import NO_FORMATS, weight_bytes


def packed_formats(checkpoint: Checkpoint, options: EngineOptions, *, device: jax.Device) -> WeightFormats:
    """Which weights are packed for kernels, and how: none where there are no kernels.

    Raises:
        ConfigError: a dtype of the weights that only kernels have, where there are none.
    """
    platform = platform_of(device)
    if platform.has_kernels and options.cpu_kernels and options.tensor_parallel_size == 1:
        return weight_formats(checkpoint, dtype=options.dtype or platform.dtype, weight_dtype=options.weight_dtype)
    if options.weight_dtype is not None:
        raise ConfigError(
            f"--weight-dtype {options.weight_dtype} needs the kernels for one CPU device, which are not used here "
            f"({device.platform}, {options.tensor_parallel_size} devices): weights are as --dtype says."
        )
    return NO_FORMATS


def _chosen_isa(options: EngineOptions) -> str:
    try:
        return choose_kernel_isa(options.cpu_isa)
    except ValueError as error:
        raise ConfigError(f"--cpu-isa {options.cpu_isa}: {error}") from None


def plan_engine(
    checkpoint: Checkpoint, options: EngineOptions, *, device: jax.Device, formats: WeightFormats = NO_FORMATS
) -> tuple[Capacity, ProgramConfig]:
    """Resolves the options for a device, or each of several: what will be held, and what all programs share."""
    platform = platform_of(device)
    spec = shard_of(checkpoint.spec, options.tensor_parallel_size)
    attention = platform.attention_of(has_kernels=bool(formats))
    dtype = options.dtype or platform.dtype
    kv_dtype = options.kv_cache_dtype or dtype
    max_model_len = options.max_model_len or checkpoint.max_position_embeddings
    if max_model_len > checkpoint.max_position_embeddings:
        raise ConfigError(
            f"--max-model-len {max_model_len} is more than the {checkpoint.max_position_embeddings} positions of "
            f"{checkpoint.path.name}"
        )
    max_prefill_tokens = min(options.max_prefill_tokens or platform.max_prefill_tokens, max_model_len)
    tokens_per_dispatch = options.tokens_per_dispatch or platform.tokens_per_dispatch
    plan = plan_memory(
        spec, options, model=checkpoint.path.name, weight_bytes=weight_bytes(spec, dtype=dtype, formats=formats),
        dtype=dtype, kv_dtype=kv_dtype,
        attention=attention, max_model_len=max_model_len,
        max_prefill_tokens=max_prefill_tokens, max_span=max(max_prefill_tokens + 1, tokens_per_dispatch),
        device=device,
    )  # fmt: skip
    max_prefill_tokens = min(max_prefill_tokens, plan.max_model_len)
    capacity = Capacity(
        num_slots=options.max_num_seqs,
        num_pages=plan.num_pages,
        page_size=attention.page_size,
        max_model_len=plan.max_model_len,
        max_prefill_tokens=max_prefill_tokens,
        max_prefill_tokens_beside=min(
            options.max_prefill_tokens_beside or platform.max_prefill_tokens_beside, max_prefill_tokens
        ),
        is_mixed=platform.has_kernels and bool(formats),
        tokens_per_dispatch=tokens_per_dispatch,
        pipeline_depth=options.pipeline_depth or platform.pipeline_depth,
        windows=tuple(group.window for group in spec.page_groups),
        span_sizes=prefill_buckets(max_prefill_tokens),
        length_borders=spec.length_borders,
    )
    config = ProgramConfig(
        spec=spec,
        attention=attention,
        dtype=jax.numpy.dtype(dtype),
        kv_dtype=jax.numpy.dtype(kv_dtype),
        num_pages=tuple(num + 1 for num in plan.num_pages),
        num_slots=capacity.num_slots,
        pages_per_sequence=-(-plan.max_model_len // attention.block_size)
        * (attention.block_size // attention.page_size),
        is_dynamic=platform.is_dynamic,
        compiler_options=platform.compiler_options,
        num_devices=options.tensor_parallel_size,
        mixed_tokens=capacity.mixed_tokens,
        kernels=f"{KERNEL_ABI} {_chosen_isa(options)}" if formats else "",
    )
    return capacity, config
