"""CPU of the engine's thread to dispatch one compiled step: what a program's arguments cost, whatever it computes.

The programs compute nothing: they take the weights of a decoder of that many layers (Qwen 3's leaves, tiny), its
donated caches and slot state and a packed array, and give the donated ones back. Real executables: compiled ahead of
time as in `penstock.engine.compiler`, and read back as from `penstock.engine.program_store`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import serialize_executable

import table
from penstock.layers.gather_attention import GatherAttention
from penstock.layers.spec import AttentionSpec, MlpSpec, RopeSpec
from penstock.models.decoder import empty_caches
from penstock.models.spec import DecoderSpec, LayerSpec
from penstock.models.tree import layers_of
from penstock.weights import weight_shapes

NUM_LAYERS = (12, 40, 90)
#: Small arrays that stand for the state of the slots.
NUM_STATE = 11
NUM_CALLS, NUM_WARM = 400, 40

Call = Callable[..., Any]
Arguments = tuple[Any, Any, Any, np.ndarray]


def decoder_spec(num_layers: int) -> DecoderSpec:
    attention = AttentionSpec(2, 1, 4, RopeSpec(1e4), qk_norm_eps=1e-6)
    layer = LayerSpec(attention, MlpSpec(8), 1e-6)
    return DecoderSpec(vocab_size=16, hidden_size=8, layers=(layer,) * num_layers, norm_eps=1e-6)


def arguments(spec: DecoderSpec, weights: Any) -> Arguments:
    attention = GatherAttention(page_size=4, block_size=4, is_dynamic=True)
    state = tuple(jnp.zeros(8, jnp.int32) + number for number in range(NUM_STATE))
    caches = empty_caches(spec, attention, num_pages=4, dtype=jnp.float32)
    return weights, caches, state, np.zeros(8, np.int32)


def arrangements(spec: DecoderSpec) -> dict[str, Any]:
    """The same weights as a tree with an array for each leaf, as the engine holds them, and those as a flat tuple."""
    shapes = weight_shapes(spec, dtype=jnp.float32)
    device = jax.devices()[0]
    tree = jax.tree.map(lambda leaf: jax.device_put(np.ones(leaf.shape, leaf.dtype), device), shapes)
    apart = {**{name: tree[name] for name in tree if name != "stacks"}, "layers": layers_of(tree, spec)}
    apart = jax.device_put(apart, device)
    return {"a leaf each": apart, "stacked": tree, "stacked, flat": tuple(jax.tree.leaves(tree))}


def calls(example: Arguments) -> dict[str, Call]:
    """One program, in the three ways it can be called."""
    body = jax.jit(
        lambda _, caches, state, packed: (packed + 1, caches, state), donate_argnums=(1, 2), keep_unused=True
    )
    compiled = body.lower(*example).compile()
    stored = serialize_executable.deserialize_and_load(
        *serialize_executable.serialize(compiled), execution_devices=jax.devices()[:1]
    )
    return {"jit": body, "compiled": compiled, "stored": stored}


def measure(call: Call, weights: Any, caches: Any, state: Any, packed: np.ndarray) -> float:
    """Median microseconds of this thread in one call; the device is waited for outside the clock."""
    spent = []
    for _ in range(NUM_CALLS):
        start = time.thread_time()
        result, caches, state = call(weights, caches, state, packed)
        spent.append(time.thread_time() - start)
        jax.block_until_ready((result, caches, state))
    return float(np.median(spent[NUM_WARM:])) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-write", action="store_true", help="print only")
    args = parser.parse_args()
    rows = []
    for num_layers in NUM_LAYERS:
        spec = decoder_spec(num_layers)
        trees = arrangements(spec)
        programs = {name: calls(arguments(spec, tree)) for name, tree in trees.items()}
        cells: dict[tuple[str, str], list[float]] = {}
        for _ in range(args.rounds):
            for name, tree in trees.items():
                for way, call in programs[name].items():
                    cells.setdefault((name, way), []).append(measure(call, *arguments(spec, tree)))
        for name, tree in trees.items():
            times = [table.spread(cells[name, way]) for way in ("jit", "compiled", "stored")]
            rows.append([str(num_layers), name, str(len(jax.tree.leaves(tree))), *times])
    head = ["layers", "weights", "arrays", "jit", "compiled", "stored"]
    intro = (
        "# CPU of the engine's thread to dispatch a step\n\n"
        f"{table.machine(['penstock', 'jax', 'jaxlib', 'numpy'])}\n\n"
        f"Microseconds of a call with that many arrays of weights, a donated cache for each layer and {NUM_STATE} "
        f"donated small arrays; median (min-max) of {args.rounds} rounds of {NUM_CALLS} calls.\n"
        "Command: `python benches/dispatch.py`"
    )
    if args.no_write:
        print(intro, table.markdown(head, rows), sep="\n\n")
    else:
        table.write("dispatch", intro, table.markdown(head, rows))


if __name__ == "__main__":
    main()
