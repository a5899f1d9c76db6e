"""How an embedding is made of a prompt's hidden states: which of them, and whether it has length 1."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np


class Pooling(StrEnum):
    """What of a prompt's last hidden states its embedding is."""

    LAST = "last"  # the last token's: the only one that has seen all of a prompt
    MEAN = "mean"
    CLS = "cls"  # the first token's


@dataclass(frozen=True, slots=True)
class PoolingConfig:
    """What a checkpoint says of its embeddings.

    Attributes:
        size: numbers of an embedding.
        is_normalized: it is scaled to length 1.
    """

    size: int
    pooling: Pooling = Pooling.LAST
    is_normalized: bool = True


class PooledStates(Protocol):
    """Of one span of a prompt (`engine.interface.PooledColumns`). `states`: float32 [3, D], the hidden states of its
    first and of its last token, and the sum of all."""

    @property
    def start(self) -> int: ...
    @property
    def num_tokens(self) -> int: ...
    @property
    def states(self) -> np.ndarray: ...


class PooledVectors:
    """The embeddings of one request, filled as the spans of its prompts are computed.

    Written by the engine's thread; read once the request's stream has ended.

    Args:
        num_tokens: of each prompt.
    """

    def __init__(self, num_tokens: list[int], config: PoolingConfig) -> None:
        self._num_tokens = num_tokens
        self._pooling = config.pooling
        self._vectors = np.zeros((len(num_tokens), config.size), np.float32)

    @property
    def may_skip_tokens(self) -> bool:
        """Whether the states of a prompt's last token are enough, so that those before it may come from a cache."""
        return self._pooling is Pooling.LAST

    def add(self, index: int, span: PooledStates) -> bool:
        """Takes a span of prompt `index`. True if it is the prompt's last one."""
        first, last, total = span.states
        is_last = span.start + span.num_tokens == self._num_tokens[index]
        if self._pooling is Pooling.MEAN:
            self._vectors[index] += total
        elif self._pooling is Pooling.CLS:
            self._vectors[index] = first if span.start == 0 else self._vectors[index]
        elif is_last:
            self._vectors[index] = last
        if is_last and self._pooling is Pooling.MEAN:
            self._vectors[index] /= self._num_tokens[index]
        return is_last

    def is_finite(self, index: int) -> bool:
        return bool(np.isfinite(self._vectors[index]).all())

    def embeddings(self, config: PoolingConfig, *, num_dimensions: int | None = None) -> np.ndarray:
        """float32 [prompts, dimensions].

        Args:
            num_dimensions: keeps so many of the first numbers (Kusupati et al., "Matryoshka representation learning",
                arXiv 2205.13147), and scales what is left.
        """
        vectors = self._vectors[:, :num_dimensions]
        if not config.is_normalized:
            return vectors
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        scaled: np.ndarray = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
        return scaled
