"""Reads the keys of a GGUF file, typed and checked as they are read. No jax."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from penstock.errors import ModelError
from penstock.gguf_file import GgufTensor, read_tensor
from penstock.models.hf_config import MAX_INTEGER, MAX_LAYERS, MAX_NUMBER, shown


class GgufKeys:
    """A file's keys under its architecture's name, and its tensors.

    Attributes:
        metadata: all keys.
        architecture: `general.architecture`.
        tensors: by name.
    """

    def __init__(self, metadata: dict[str, Any], tensors: Mapping[str, GgufTensor]) -> None:
        self.metadata = metadata
        self.tensors = tensors
        self.architecture = str(metadata.get("general.architecture"))

    def has(self, key: str) -> bool:
        return self._full(key) in self.metadata

    def has_tensor(self, name: str) -> bool:
        """Whether the first layer has it, as "attn_q.bias"."""
        return f"blk.0.{name}" in self.tensors

    def integer(self, key: str, *, default: int | None = None, at_least: int = 1) -> int:
        """A whole number; where there is one for each layer, they must be equal."""
        value = self._get(key, default)
        if isinstance(value, list) and value and all(each == value[0] for each in value):
            value = value[0]
        if not isinstance(value, int) or isinstance(value, bool) or not at_least <= value <= MAX_INTEGER:
            bounds = "a positive integer" if at_least == 1 else f"an integer of at least {at_least}"
            raise ModelError(f"key {self._full(key)} must be {bounds}, found {shown(value)}")
        return value

    def number(self, key: str, *, default: float | None = None) -> float:
        """A positive number."""
        value = self._get(key, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < MAX_NUMBER:
            raise ModelError(f"key {self._full(key)} must be a positive number, found {shown(value)}")
        return float(value)

    def maybe_number(self, key: str) -> float | None:
        """A positive number; None where it is absent or 0."""
        return self.number(key) if self.metadata.get(self._full(key)) else None

    def flag(self, key: str, *, default: bool) -> bool:
        value = self._get(key, default)
        if not isinstance(value, bool):
            raise ModelError(f"key {self._full(key)} must be a bool, found {shown(value)}")
        return value

    def text(self, key: str, *, default: str) -> str:
        value = self._get(key, default)
        if not isinstance(value, str):
            raise ModelError(f"key {self._full(key)} must be a text, found {shown(value)}")
        return value

    @property
    def num_layers(self) -> int:
        """Without those that predict further tokens, which stand behind the model's own."""
        num_layers = self.integer("block_count") - self.num_predictors
        if not 0 < num_layers <= MAX_LAYERS:
            raise ModelError(f"key {self._full('block_count')} must be from 1 to {MAX_LAYERS}, found {num_layers}")
        return num_layers

    @property
    def num_predictors(self) -> int:
        return self.integer("nextn_predict_layers", default=0, at_least=0)

    @property
    def head_dim(self) -> int:
        share = self.integer("embedding_length") // self.integer("attention.head_count")
        return self.integer("attention.key_length", default=share)

    @property
    def rotated_share(self) -> float:
        """The part of a head that is rotated, a little more than it, so that its product with the size is not less."""
        size, head_dim = self.integer("rope.dimension_count", default=self.head_dim), self.head_dim
        return 1.0 if size == head_dim else (size + 0.25) / head_dim

    def window_types(self) -> list[str] | None:
        """For each layer what it sees, as `layer_types` of config.json; None where the file does not say."""
        pattern = self._get("attention.sliding_window_pattern", None, is_needed=False)
        if not isinstance(pattern, list):
            return None
        if len(pattern) < self.num_layers or not all(each in (0, 1) for each in pattern):
            raise ModelError(f"key {self._full('attention.sliding_window_pattern')} must be a bool for each layer")
        return ["sliding_attention" if each else "full_attention" for each in pattern[: self.num_layers]]

    def window_every(self) -> int | None:
        """How many layers there are to one without a window, where the file says that instead of `window_types`."""
        every = self._get("attention.sliding_window_pattern", None, is_needed=False)
        return every if isinstance(every, int) and not isinstance(every, bool) and every > 0 else None

    def factors(self, name: str) -> list[float] | None:
        """The numbers of a small float32 tensor outside the layers, as `rope_freqs.weight`; None without it."""
        tensor = self.tensors.get(name)
        if tensor is None:
            return None
        if tensor.dtype != "F32" or math.prod(tensor.shape) > self.head_dim:
            raise ModelError(f"tensor {name}: expected at most {self.head_dim} numbers of F32")
        return [float(number) for number in read_tensor(tensor).ravel()]

    def _get(self, key: str, default: Any, *, is_needed: bool = True) -> Any:
        value = self.metadata.get(self._full(key), default)
        if value is None and is_needed:
            raise ModelError(f"key {self._full(key)} is not there")
        return value

    def _full(self, key: str) -> str:
        return key if key.startswith("general.") else f"{self.architecture}.{key}"
