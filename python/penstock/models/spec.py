"""What a decoder is, as data: everything that shapes the computation, hashable, and no jax.

A family turns a Hugging Face config into a `DecoderSpec`; the one decoder reads nothing else. Axis letters are those
of `penstock.layers`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from penstock.errors import ModelError

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


@dataclass(frozen=True, slots=True)
class DecoderSpec:
    """One decoder-only transformer.

    Attributes:
        windows: for each layer how many positions a token sees, itself included; None sees all before it.
        activation: of the gated MLP, "silu" or "gelu_tanh".
        has_qkv_bias, has_o_bias, has_mlp_bias: which projections add a bias.
        has_qk_norm: an RMS norm over each head of q and of k, before rotation.
        is_tied: the output head is the embedding, transposed.
    """

    vocab_size: int
    hidden_size: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate_size: int
    norm_eps: float
    rope: RopeSpec
    windows: tuple[int | None, ...]
    activation: Literal["silu", "gelu_tanh"] = "silu"
    has_qkv_bias: bool = False
    has_o_bias: bool = False
    has_mlp_bias: bool = False
    has_qk_norm: bool = False
    is_tied: bool = False

    def __post_init__(self) -> None:
        if self.num_heads % self.num_kv_heads or self.head_dim % 2:
            raise ModelError(
                f"config.json: {self.num_heads} attention heads of size {self.head_dim} over {self.num_kv_heads} "
                "key-value heads: expected an even head size and a whole number of heads per key-value head"
            )

    @property
    def num_layers(self) -> int:
        return len(self.windows)

    @property
    def q_size(self) -> int:
        return self.num_heads * self.head_dim

    @property
    def kv_size(self) -> int:
        return self.num_kv_heads * self.head_dim
