"""Rotary positions as data: everything that shapes their frequencies, hashable, and no jax."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RopeKind = Literal["default", "linear", "llama3"]


@dataclass(frozen=True, slots=True)
class RopeSpec:
    """Rotary positions: base frequency and how it is stretched for long contexts.

    Attributes:
        theta: base of the geometric series of frequencies.
        factor: "linear" divides every frequency by it, "llama3" only the low ones.
        low_freq_factor, high_freq_factor, original_max_position: "llama3": wavelengths longer than
            original_max_position / low_freq_factor are stretched, those shorter than
            original_max_position / high_freq_factor are kept, those between are blended.
    """

    theta: float
    kind: RopeKind = "default"
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position: int = 0
