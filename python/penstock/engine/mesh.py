"""The devices of an engine, and its programs over them: each runs the program of its shard, under `shard_map`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from penstock.errors import ConfigError
from penstock.models.partition import partition
from penstock.models.sharding import MODEL_AXIS

#: What every device holds whole: the state of slots, packed arrays, logits, what is sampled.
WHOLE = partition(())


def devices_for(num_devices: int) -> list[jax.Device]:
    """The first of this process's devices. ConfigError if there are fewer."""
    found = jax.devices()
    if len(found) < num_devices:
        hint = "; JAX_NUM_CPU_DEVICES makes several of a CPU, for tests" if found[0].platform == "cpu" else ""
        raise ConfigError(
            f"--tensor-parallel-size {num_devices} should be at most {len(found)}, "
            f"the {found[0].platform} devices of this machine{hint}"
        )
    return found[:num_devices]


@cache
def mesh_of(num_devices: int) -> Mesh:
    """The devices in a row."""
    return Mesh(np.array(devices_for(num_devices)), (MODEL_AXIS,))


def over_devices(
    body: Callable[..., Any], *, num_devices: int, arguments: Any, result: Any, donated: tuple[int, ...]
) -> Callable[..., Any]:
    """`body`, which computes what one device does, as a jitted function over all.

    What it gives whole, every device has computed alike: `shard_map`'s own check of that has no rule for loops whose
    trip count depends on data.

    Args:
        arguments, result: trees of `PartitionSpec`, of which one may stand for a whole branch.
    """
    mesh = mesh_of(num_devices)
    mapped = jax.shard_map(body, mesh=mesh, in_specs=arguments, out_specs=result, check_vma=False)
    shardings = jax.tree.map(lambda each: NamedSharding(mesh, each), arguments, is_leaf=_is_partition)
    return jax.jit(mapped, donate_argnums=donated, in_shardings=shardings)


def _is_partition(tree: Any) -> bool:
    return isinstance(tree, PartitionSpec)


def one_at_a_time(program: Callable[..., Any]) -> Callable[..., Any]:
    """A program that returns when it is done: virtual devices of one CPU share its threads, and two programs that each
    wait for all devices to meet would take them from one another until XLA gives up."""

    def run(*arguments: Any) -> Any:
        return jax.block_until_ready(program(*arguments))  # type: ignore[no-untyped-call]  # jax has no types here

    return run
