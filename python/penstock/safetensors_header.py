"""The header of a safetensors file: which tensors lie where. Reads no weights.

Format: 8 bytes little-endian header length, that many bytes of JSON (name → dtype, shape, data_offsets), then data.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from math import prod
from operator import index
from pathlib import Path
from typing import Any

from penstock.errors import ModelError

#: Bytes per number of the dtypes that weights may be stored in.
DTYPE_BYTES = {"F32": 4, "F16": 2, "BF16": 2, "U8": 1}

#: As the reference implementation limits it.
MAX_HEADER_BYTES = 100_000_000


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One stored tensor.

    Attributes:
        dtype: safetensors' name, as "BF16".
    """

    file: Path
    dtype: str
    shape: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        return prod(self.shape) * DTYPE_BYTES[self.dtype]


def read_header(file: Path) -> dict[str, TensorInfo]:
    """The tensors of one file, by name. ModelError if the file is missing, cut short or not safetensors."""
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            length = _header_length(file, stream.read(8), size)
            header = json.loads(stream.read(length))
    except OSError as error:
        raise ModelError(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise ModelError(f"{file} is not a safetensors file: its header is not JSON") from None
    tensors, end = _parse(file, header, 8 + length)
    if end != size:
        kind = "truncated" if size < end else "damaged"
        raise ModelError(f"{file} is {kind}: its header describes {end} bytes, the file has {size}")
    return tensors


def _header_length(file: Path, prefix: bytes, size: int) -> int:
    if len(prefix) < 8:
        raise ModelError(f"{file} is truncated: expected a safetensors header, the file has {size} bytes")
    length: int = struct.unpack("<Q", prefix)[0]
    if length > MAX_HEADER_BYTES:
        raise ModelError(f"{file} is not a safetensors file: its first bytes ask for a header of {length} bytes")
    if 8 + length > size:
        raise ModelError(f"{file} is truncated: its header takes {8 + length} bytes, the file has {size}")
    return length


def _parse(file: Path, header: Any, data_start: int) -> tuple[dict[str, TensorInfo], int]:
    """The tensors, and where the last one ends. They must fill the data without holes, as the format demands."""
    tensors, spans = {}, []
    try:
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            first, last = map(index, entry["data_offsets"])
            shape = tuple(map(index, entry["shape"]))
            tensors[name] = info = TensorInfo(file, entry["dtype"], shape)
            if info.dtype in DTYPE_BYTES and (min(shape, default=0) < 0 or last - first != info.num_bytes):
                raise ModelError(f"{file} is damaged: {name} has {last - first} bytes for {info.dtype} {list(shape)}")
            spans.append((first, last, name))
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ModelError(f"{file} is not a safetensors file: its header lacks dtype, shape or data_offsets") from None
    end = 0
    for first, last, name in sorted(spans):
        if first != end or last < first:
            raise ModelError(f"{file} is damaged: the bytes of {name} begin at {first}, those before it end at {end}")
        end = last
    return tensors, data_start + end
