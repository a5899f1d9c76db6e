"""Rotary positions as data: everything that shapes their frequencies, hashable, and no jax."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RopeKind = Literal["default", "linear", "llama3", "yarn", "longrope", "factors"]


@dataclass(frozen=True, slots=True)
class RopeSpec:
    """Rotary positions (Su et al., arXiv 2104.09864): base frequency and how it is stretched for long contexts.

    Attributes:
        theta: base of the geometric series of frequencies.
        factor: "linear" divides every frequency by it, "llama3" and "yarn" only the low ones.
        low_freq_factor, high_freq_factor, original_max_position: "llama3": wavelengths longer than
            original_max_position / low_freq_factor are stretched, those shorter than
            original_max_position / high_freq_factor are kept, those between are blended.
        beta_fast, beta_slow, original_max_position, is_truncated: "yarn" (Peng et al., arXiv 2309.00071): frequencies
            that turn more than beta_fast times within original_max_position are kept, those that turn less than
            beta_slow times are stretched, those between are blended; the borders are whole dimensions where truncated.
        short_factors, long_factors, original_max_position: "longrope" (Ding et al., arXiv 2402.13753): each frequency
            has a divisor of its own, one for sequences of up to original_max_position tokens and one for longer ones.
        attention_factor: what cosine and sine are multiplied by.
        size: how many numbers of a head are rotated, its first, in whole pairs; None is all. Frequencies are a series
            over this size.
        is_interleaved: neighbours are rotated against each other, not the two halves.
    """

    theta: float
    kind: RopeKind = "default"
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position: int = 0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    is_truncated: bool = True
    short_factors: tuple[float, ...] = ()
    long_factors: tuple[float, ...] = ()
    attention_factor: float = 1.0
    size: int | None = None
    is_interleaved: bool = False

    def num_pairs(self, head_dim: int) -> int:
        """How many pairs of a head's numbers are rotated."""
        return -(-(head_dim if self.size is None else self.size) // 2)
