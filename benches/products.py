"""All matrix products of one step, by rows and format of the weights: our kernels beside XLA's float32.

The products of a Llama shape: 12 layers of hidden size 768, 12 query and 4 key-value heads of 64, feed-forward 2048,
and a head of 8192. Nothing stands between them but slices. Rounds take turns; a ratio is of one round.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import table
from penstock._core import kernel_isa, packed_bytes
from penstock.engine.platform import PLATFORMS
from penstock.layers.linear import linear
from penstock.layers.packed_matrix import PackedMatrix
from penstock.layers.packing import pack
from penstock.weights import mapped_empty

HIDDEN, FFN, QKV, VOCAB, NUM_LAYERS = 768, 2048, 12 * 64 + 2 * 4 * 64, 8192, 12
LAYER = {"qkv": (HIDDEN, QKV), "o": (HIDDEN, HIDDEN), "gate_up": (HIDDEN, 2 * FFN), "down": (FFN, HIDDEN)}
FORMATS = ("f32", "bf16", "q8_64", "q4_32")
ROWS = (1, 4, 8, 16, 128)


def weights(weight_format: str | None) -> list[dict[str, Any]]:
    """A tree of matrices, the head's last; None: float32 arrays."""
    made = [{name: matrix(sizes, weight_format) for name, sizes in LAYER.items()} for _ in range(NUM_LAYERS)]
    return [*made, {"head": matrix((HIDDEN, VOCAB), weight_format)}]


def matrix(sizes: tuple[int, int], weight_format: str | None) -> Any:
    numbers = np.random.default_rng(prod(sizes)).standard_normal(sizes, np.float32) / np.float32(sizes[0] ** 0.5)
    if weight_format is None:
        array = mapped_empty(sizes, np.float32)
        array[...] = numbers
        return jax.device_put(array)
    panels = mapped_empty((packed_bytes(weight_format, *sizes),), np.uint8)
    pack(np.ascontiguousarray(numbers), panels, weight_format, is_out_first=False)
    return PackedMatrix(jax.device_put(panels), weight_format, sizes[0], sizes[1:])


def step(tree: list[dict[str, Any]], x: jax.Array) -> jax.Array:
    for layer in tree[:-1]:
        x = linear(linear(x, layer["qkv"])[:, :HIDDEN], layer["o"])
        x = linear(linear(x, layer["gate_up"])[:, :FFN], layer["down"])
    return linear(x, tree[-1]["head"])


def seconds(run: Callable[..., Any], tree: Any, x: jax.Array, *, num_calls: int) -> float:
    """Of a call, the best of several: other work on the machine only adds."""
    best = float("inf")
    for _ in range(num_calls):
        start = time.perf_counter()
        run(tree, x).block_until_ready()
        best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--formats", nargs="+", default=FORMATS)
    parser.add_argument("--rows", nargs="+", type=int, default=ROWS)
    parser.add_argument("--no-write", action="store_true", help="print only")
    args = parser.parse_args()
    trees = {name: weights(name) for name in (None, *args.formats)}
    options = dict(PLATFORMS["cpu"].compiler_options)
    lines = []
    for num_rows in args.rows:
        x = jnp.asarray(np.random.default_rng(1).standard_normal((num_rows, HIDDEN), np.float32))
        programs = {
            name: jax.jit(step, compiler_options=options).lower(tree, x).compile() for name, tree in trees.items()
        }
        measure = partial(seconds, num_calls=3 if num_rows > 32 else 10)
        rounds = [{name: measure(programs[name], tree, x) for name, tree in trees.items()} for _ in range(args.rounds)]
        cells = [table.spread([1e3 * each[None] for each in rounds])]
        for name in args.formats:
            milliseconds = table.spread([1e3 * each[name] for each in rounds])
            cells.append(f"{milliseconds}: {table.spread([each[None] / each[name] for each in rounds], 2)}")
        lines.append([str(num_rows), *cells])
    head = ["rows", "XLA f32 ms", *(f"{name} ms: times XLA's speed" for name in args.formats)]
    intro = (
        "# All matrix products of a step\n\n"
        f"{table.machine(['penstock', 'jax', 'jaxlib'])} Kernels: {kernel_isa()}.\n\n"
        f"{4 * NUM_LAYERS + 1} products: hidden {HIDDEN}, {NUM_LAYERS} layers, {QKV} columns of q, k and v, "
        f"feed-forward {FFN}, vocabulary {VOCAB}. Median (min-max) of {args.rounds} rounds that take turns.\n"
        "Command: `python benches/products.py`"
    )
    if args.no_write:
        print(intro, table.markdown(head, lines), sep="\n\n")
    else:
        table.write("products", intro, table.markdown(head, lines))


if __name__ == "__main__":
    main()
