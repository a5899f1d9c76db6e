"""What families with mixtures of experts have in common: the names of experts' tensors, and which layers have them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from penstock.errors import ModelError
from penstock.layers.leaf import Stored, TensorNames
from penstock.layers.spec import MlpSpec
from penstock.models.hf_config import HfConfig, shown
from penstock.models.spec import DecoderSpec, FeedForward

SHARED_LEAVES = {"gate_up": ("gate_proj", "up_proj"), "down": ("down_proj",)}


def experts_of_each(
    prefix: str, *, gate: str = "gate_proj", up: str = "up_proj", down: str = "down_proj", together: str | None = None
) -> TensorNames:
    """Tensors of every expert, as published; or of all experts, as transformers 5 holds and may save them.

    Args:
        prefix: of the names; `together`: of those of all experts, where it differs.
    """
    each, whole = prefix + "experts.{expert}.", (together or prefix) + "experts."
    return {
        "experts_gate_up": Stored(
            (each + gate + ".weight", each + up + ".weight"), or_else=Stored((whole + "gate_up_proj",))
        ),
        "experts_down": Stored((each + down + ".weight",), or_else=Stored((whole + "down_proj",))),
    }


def shared_mlp(prefix: str) -> TensorNames:
    """Tensors of the MLP that every token goes through."""
    kinds = {"": "weight", "_bias": "bias"}
    return {
        f"shared_{leaf}{ending}": tuple(f"{prefix}{name}.{kind}" for name in names)
        for leaf, names in SHARED_LEAVES.items()
        for ending, kind in kinds.items()
    }


def sparse_layers(config: HfConfig) -> tuple[bool, ...]:
    """Which layers have experts, of Qwen's: every `decoder_sparse_step`-th that `mlp_only_layers` does not name."""
    step = config.integer("decoder_sparse_step", default=1)
    dense = config.get("mlp_only_layers", [])
    if not isinstance(dense, list) or not all(isinstance(layer, int) for layer in dense):
        raise ModelError(f"config.json: mlp_only_layers must be a list of numbers of layers, found {shown(dense)}")
    return tuple((layer + 1) % step == 0 and layer not in dense for layer in range(config.num_layers))


def layers_from(config: HfConfig, first: int) -> tuple[bool, ...]:
    """Which layers have experts: all from `first` on."""
    return tuple(layer >= first for layer in range(config.num_layers))


def with_dense_layers(decoder: DecoderSpec, is_sparse: Iterable[bool], dense: FeedForward) -> DecoderSpec:
    """The same decoder, its other layers with a dense MLP."""
    pairs = zip(decoder.layers, is_sparse, strict=True)
    layers = tuple(layer if sparse else replace(layer, feed_forward=dense) for layer, sparse in pairs)
    return replace(decoder, layers=layers)


def dense_mlp(config: HfConfig) -> MlpSpec:
    """Of the layers without experts."""
    return MlpSpec(config.integer("intermediate_size"), config.activation())
