"""The rows of a step: the new tokens of all its sequences laid flat, for products, and apart, for attention."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from penstock.layers.attention import TokenPlaces
from penstock.layers.linear import real_rows


@jax.tree_util.register_dataclass
@dataclass(frozen=True, slots=True)
class StepPlaces:
    """Where the R new tokens of a step stand.

    A step has one part, or two whose rows follow each other without a gap: the second begins behind the real rows of
    the first, whose padding is cut off. So the rows that count are always the first ones.

    Attributes:
        parts: one or two, of [B, T] tokens each; R is the sum of B * T.
        num_first: int32 [], real rows of the first part, where there are two.
    """

    parts: tuple[TokenPlaces, ...]
    num_first: jax.Array | int = 0

    @classmethod
    def of(cls, *parts: TokenPlaces) -> StepPlaces:
        """Of two parts the first has its real rows in front."""
        return cls(parts, jnp.sum(parts[0].is_real, dtype=jnp.int32) if len(parts) > 1 else 0)

    @property
    def positions(self) -> jax.Array:
        """int32 [R], of each token in its sequence."""
        return self.join([part.positions for part in self.parts])

    @property
    def is_real(self) -> jax.Array:
        """bool [R]; the others are padding."""
        return self.join([part.is_real for part in self.parts])

    @property
    def real_rows(self) -> jax.Array:
        """As `linear` takes them."""
        return real_rows(self.is_real)

    def is_longer(self, num_tokens: int) -> jax.Array | None:
        """bool [R], whether the prompt of each token's row is longer than that; None: none is."""
        columns = [part.is_longer(num_tokens) for part in self.parts]
        known = [
            column.reshape(part.positions.shape)
            for part, column in zip(self.parts, columns, strict=True)
            if column is not None
        ]
        return self.join(known) if len(known) == len(columns) else None

    def split(self, x: jax.Array) -> list[jax.Array]:
        """x [R, ...] as [B, T, ...] of each part."""
        first, *others = self.parts
        of_parts = [x[: first.positions.size]]
        of_parts += [jax.lax.dynamic_slice_in_dim(x, self.num_first, other.positions.size) for other in others]
        return [
            rows.reshape(*part.positions.shape, *x.shape[1:]) for rows, part in zip(of_parts, self.parts, strict=True)
        ]

    def join(self, parts: list[jax.Array]) -> jax.Array:
        """[R, ...] of [B, T, ...] of each part; what stands behind the rows of both is 0 or padding of the first."""
        first, *others = [part.reshape(-1, *part.shape[2:]) for part in parts]
        for other in others:
            whole = jnp.concatenate([first, jnp.zeros_like(other)])
            first = jax.lax.dynamic_update_slice_in_dim(whole, other, self.num_first, 0)
        return first
