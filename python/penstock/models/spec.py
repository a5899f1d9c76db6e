"""What a decoder is, as data: a sequence of layers, hashable, and no jax.

A family turns a Hugging Face config into a `DecoderSpec`; the one decoder reads nothing else. The parts of a layer
are described in `penstock.layers.spec`, axis letters in `penstock.layers`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from penstock.layers.leaf import LeafSpec, vector
from penstock.layers.spec import AttentionSpec, CacheSpec, MlpSpec


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """One layer: `x + attention(norm(x))`, then `x + feed_forward(norm(x))`.

    Attributes:
        norm_eps: of both RMS norms.
    """

    attention: AttentionSpec
    feed_forward: MlpSpec
    norm_eps: float

    @property
    def cache(self) -> CacheSpec:
        return self.attention.cache

    def leaves(self, hidden_size: int) -> tuple[LeafSpec, ...]:
        """Of the norms and of both halves."""
        norms = vector("attn_norm", hidden_size), vector("mlp_norm", hidden_size)
        return (*norms, *self.attention.leaves(hidden_size), *self.feed_forward.leaves(hidden_size))


@dataclass(frozen=True, slots=True)
class PageGroup:
    """Layers whose pages are handed out together.

    Attributes:
        layers: their numbers.
        window: positions that a token sees in each of them; None: all before it.
    """

    layers: tuple[int, ...]
    window: int | None


@dataclass(frozen=True, slots=True)
class DecoderSpec:
    """One decoder-only transformer.

    Attributes:
        layers: equal ones are one object.
        norm_eps: of the norm after the last layer.
        is_tied: the output head is the embedding, transposed.
    """

    vocab_size: int
    hidden_size: int
    layers: tuple[LayerSpec, ...]
    norm_eps: float
    is_tied: bool = False

    def __post_init__(self) -> None:
        kinds: dict[LayerSpec, LayerSpec] = {}
        layers = _in_page_groups(self.layers)
        object.__setattr__(self, "layers", tuple(kinds.setdefault(layer, layer) for layer in layers))

    def __repr__(self) -> str:
        """Each kind of layer once, and which kind every layer is: a part of the name of every stored program."""
        kinds = tuple(dict.fromkeys(self.layers))
        order = tuple(kinds.index(layer) for layer in self.layers)
        rest = (self.vocab_size, self.hidden_size, self.norm_eps, self.is_tied)
        return f"DecoderSpec({rest}, kinds={kinds}, order={order})"

    @property
    def num_layers(self) -> int:
        return len(self.layers)

    @property
    def page_groups(self) -> tuple[PageGroup, ...]:
        """By number; each has a block table of its own."""
        members: dict[int, list[int]] = {}
        for number, layer in enumerate(self.layers):
            members.setdefault(layer.cache.page_group, []).append(number)
        groups = []
        for _, numbers in sorted(members.items()):
            groups.append(PageGroup(tuple(numbers), getattr(self.layers[numbers[0]].attention, "window", None)))
        return tuple(groups)


def _in_page_groups(layers: tuple[LayerSpec, ...]) -> tuple[LayerSpec, ...]:
    """The same with their page groups: one for each window, that of layers which see all positions first."""
    windows = [getattr(layer.attention, "window", None) for layer in layers]
    numbers = {window: number for number, window in enumerate(sorted(set(windows), key=lambda each: each or 0))}
    return tuple(
        layer
        if layer.cache.page_group == numbers[window]
        else replace(layer, attention=replace(layer.attention, page_group=numbers[window]))
        for layer, window in zip(layers, windows, strict=True)
    )


def windowed(layer: LayerSpec, windows: tuple[int | None, ...]) -> tuple[LayerSpec, ...]:
    """Layers that differ in their window alone."""
    return tuple(replace(layer, attention=replace(layer.attention, window=window)) for window in windows)
