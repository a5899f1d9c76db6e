"""The garbage of a server at work: what was made while it started, and what requests make."""

from __future__ import annotations

import ctypes
import gc

#: Objects that may be made before the youngest are looked through: some hundred requests' worth.
_YOUNG_OBJECTS = 10_000


def spare_collections() -> None:
    """Has the garbage collector leave alone what is there now: modules, programs, weights.

    A full collection walks all of it under the GIL, and no stream gets a token meanwhile: 17 ms with the echo engine,
    67 to 108 ms with JAX. From now on it walks only what requests make, which is next to nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, *gc.get_threshold()[1:])


def give_back_memory() -> None:
    """Gives back to the system what was needed only to start: parsed tokenizers, models, programs. Blocks, for some
    milliseconds. Does nothing where the C library is not glibc (`malloc_trim(3)`)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
