"""The CPU's kernels as operations of jax: registered once, and called through XLA's foreign function interface."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import jax

from penstock._core import KERNEL_ABI, kernel_handlers


@cache
def register_kernels() -> None:
    """Tells XLA the kernels, once in a process: before a program that calls them is compiled, or read from a store."""
    for name, address in kernel_handlers():
        capsule = jax.ffi.pycapsule(ctypes.c_void_p(address))  # type: ignore[no-untyped-call]  # jax has no types here
        jax.ffi.register_ffi_target(target(name), capsule, platform="cpu")


def target(name: str) -> str:
    """What XLA knows a kernel as; a program that was compiled for other kernels finds none of its own."""
    return f"penstock_{name}_v{KERNEL_ABI}"


def call(name: str, result: Any, *operands: jax.Array, aliases: dict[int, int] | None = None, **attributes: Any) -> Any:
    """A kernel's results.

    Args:
        result: a `jax.ShapeDtypeStruct`, or several.
        aliases: numbers of operands whose memory a result may take, each with the result's.
        attributes: strings, bools, `numpy.int64`, `numpy.float32`.
    """
    register_kernels()
    kernel: Any = jax.ffi.ffi_call(target(name), result, input_output_aliases=aliases)
    return kernel(*operands, **attributes)
