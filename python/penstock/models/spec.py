"""What a decoder is, as data: a sequence of layers, hashable, and no jax.

A family turns a Hugging Face config into a `DecoderSpec`; the one decoder reads nothing else. The parts of a layer
are described in `penstock.layers.spec`, axis letters in `penstock.layers`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal

from penstock.layers.latent_spec import LatentAttentionSpec
from penstock.layers.leaf import LeafSpec
from penstock.layers.moe_spec import MoeSpec
from penstock.layers.spec import AttentionSpec, CacheSpec, MlpSpec, NormSpec

#: What a layer may be made of. `models.decoder` chooses the function by type.
Attention = AttentionSpec | LatentAttentionSpec
FeedForward = MlpSpec | MoeSpec


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """One layer: `x + attention(norm(x))`, then `x + feed_forward(norm(x))`, or both at once.

    Attributes:
        norms: "before" each half, "after" it (and before the sum), or "both".
        is_parallel: both halves read the layer's input, and both results are added to it.
        has_one_norm: parallel halves read the same norm.
        residual_scale: what each half's result is multiplied by before it is added.
    """

    attention: Attention
    feed_forward: FeedForward
    norm: NormSpec
    norms: Literal["before", "after", "both"] = "before"
    is_parallel: bool = False
    has_one_norm: bool = False
    residual_scale: float = 1.0

    @property
    def cache(self) -> CacheSpec:
        return self.attention.cache

    def leaves(self, hidden_size: int) -> tuple[LeafSpec, ...]:
        """Of the norms and of both halves."""
        norms = (leaf for name in self.norm_names for leaf in self.norm.leaves(name, hidden_size))
        return (*norms, *self.attention.leaves(hidden_size), *self.feed_forward.leaves(hidden_size))

    def shard(self, num_devices: int, mesh_axis: str) -> LayerSpec:
        """What each of `num_devices` computes: its part of both halves, and the whole of all else."""
        attention = self.attention.shard(num_devices, mesh_axis)
        return replace(self, attention=attention, feed_forward=self.feed_forward.shard(num_devices, mesh_axis))

    @property
    def norm_names(self) -> tuple[str, ...]:
        before = ("attn_norm",) if self.has_one_norm else ("attn_norm", "mlp_norm")
        after = ("attn_post_norm", "mlp_post_norm")
        return {"before": before, "after": after, "both": before + after}[self.norms]


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
        final_norm: after the last layer.
        is_tied: the output head is the embedding, transposed.
        has_head_bias: the output head adds a bias.
        num_learned_positions: entries of a table that is added to the embedding by position; 0 is none.
        embed_scale, logit_scale: what embedding and logits are multiplied by.
        logit_soft_cap: bends the logits into (-logit_soft_cap, logit_soft_cap), after the scale.
        num_vocab_shards: parts of the vocabulary, of which embedding and output head are one; the rest is on the other
            devices of `mesh_axis`.
    """

    vocab_size: int
    hidden_size: int
    layers: tuple[LayerSpec, ...]
    final_norm: NormSpec
    is_tied: bool = False
    has_head_bias: bool = False
    num_learned_positions: int = 0
    embed_scale: float = 1.0
    logit_scale: float = 1.0
    logit_soft_cap: float | None = None
    num_vocab_shards: int = 1
    mesh_axis: str | None = None

    def __post_init__(self) -> None:
        kinds: dict[LayerSpec, LayerSpec] = {}
        layers = _in_page_groups(self.layers)
        object.__setattr__(self, "layers", tuple(kinds.setdefault(layer, layer) for layer in layers))

    def __repr__(self) -> str:
        """Each kind of layer once, and which kind every layer is: a part of the name of every stored program."""
        kinds = tuple(dict.fromkeys(self.layers))
        order = tuple(kinds.index(layer) for layer in self.layers)
        rest = tuple(getattr(self, field.name) for field in fields(self) if field.name != "layers")
        return f"DecoderSpec({rest}, kinds={kinds}, order={order})"

    @property
    def num_layers(self) -> int:
        return len(self.layers)

    @property
    def vocab_axis(self) -> str | None:
        """The mesh axis along which the vocabulary is split; None where it is whole."""
        return self.mesh_axis if self.num_vocab_shards > 1 else None

    @property
    def length_borders(self) -> tuple[int, ...]:
        """Lengths of a prompt above which a layer's keys are others, ascending."""
        ropes = {layer.attention.rope for layer in self.layers}
        return tuple(sorted({rope.original_max_position for rope in ropes if rope and rope.kind == "longrope"}))

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


def windowed(
    layer: LayerSpec, windows: tuple[int | None, ...], sliding: LayerSpec | None = None
) -> tuple[LayerSpec, ...]:
    """Layers of those windows. `sliding`: what those that have one are besides; None is as the others."""
    kinds = ((layer if window is None else sliding or layer, window) for window in windows)
    return tuple(replace(kind, attention=replace(kind.attention, window=window)) for kind, window in kinds)
