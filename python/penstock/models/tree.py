"""The tree of a decoder's weights: which arrays there are, of which shapes. No jax.

    {"embed", "positions"?, "final_norm"?, "lm_head"?, ...,
     "stacks": {(leaf, shape): array [layers, *shape]},
     "layers": ({leaf: array}, ...)}

Norms and biases of all layers lie in one array for each kind: a program's dispatch pays for every array that it is
given. Matrices do not: slicing a stack of them costs a copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from penstock.layers.leaf import Axes, LeafSpec, LogicalAxis, projection, vector
from penstock.models.spec import DecoderSpec


@dataclass(frozen=True, slots=True)
class StackSpec:
    """A leaf of several layers in one array.

    Attributes:
        layers: the layer of each row.
    """

    leaf: LeafSpec
    layers: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self.layers), *self.leaf.shape

    @property
    def axes(self) -> Axes:
        """As those of its leaf."""
        return None, *self.leaf.axes


def top_leaves(spec: DecoderSpec) -> tuple[LeafSpec, ...]:
    """The leaves outside the layers."""
    hidden, vocab = spec.hidden_size, spec.vocab_size // spec.num_vocab_shards
    axis: LogicalAxis | None = "vocab" if spec.num_vocab_shards > 1 else None
    embed = LeafSpec("embed", (vocab, hidden), 1, (hidden,), axes=(axis, None))
    leaves = [embed, *spec.final_norm.leaves("final_norm", hidden)]
    if spec.num_learned_positions:
        leaves.append(LeafSpec("positions", (spec.num_learned_positions, hidden), 1, (hidden,)))
    if not spec.is_tied:
        leaves.append(projection("lm_head", hidden, vocab, axes=(None, axis)))
    if spec.has_head_bias:
        leaves.append(vector("lm_head_bias", vocab, axis=axis))
    return tuple(leaves)


def layer_leaves(spec: DecoderSpec, layer: int) -> tuple[LeafSpec, ...]:
    """The leaves of one layer, stacked ones included."""
    return spec.layers[layer].leaves(spec.hidden_size)


def stacks(spec: DecoderSpec) -> tuple[StackSpec, ...]:
    """What lies together, in the order in which it first comes up."""
    members: dict[LeafSpec, list[int]] = {}
    for layer in range(spec.num_layers):
        for leaf in layer_leaves(spec, layer):
            if leaf.is_stacked:
                members.setdefault(leaf, []).append(layer)
    return tuple(StackSpec(leaf, tuple(layers)) for leaf, layers in members.items())


def build_tree(
    spec: DecoderSpec, *, top: dict[str, Any], layers: list[dict[str, Any]], stacked: list[Any]
) -> dict[str, Any]:
    """The tree of its arrays.

    Args:
        layers: for each layer the leaves that are not stacked.
        stacked: in the order of `stacks`.
    """
    named = {(stack.leaf.name, stack.leaf.shape): array for stack, array in zip(stacks(spec), stacked, strict=True)}
    return {**top, "stacks": named, "layers": tuple(layers)}


def layers_of(weights: dict[str, Any], spec: DecoderSpec) -> tuple[dict[str, Any], ...]:
    """For each layer all its leaves by name, those in stacks picked out of them."""
    layers = tuple(dict(layer) for layer in weights["layers"])
    for stack in stacks(spec):
        array = weights["stacks"][stack.leaf.name, stack.leaf.shape]
        for row, layer in enumerate(stack.layers):
            layers[layer][stack.leaf.name] = array[row]
    return layers


def num_parameters(spec: DecoderSpec) -> int:
    """How many numbers the tree holds."""
    in_layers = sum(leaf.size for layer in range(spec.num_layers) for leaf in layer_leaves(spec, layer))
    return sum(leaf.size for leaf in top_leaves(spec)) + in_layers
