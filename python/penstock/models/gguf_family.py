"""The family of a GGUF file: a Hugging Face family's spec over the tensors and the ways of GGUF. No jax."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from penstock.errors import ModelError
from penstock.gguf_file import GgufModel
from penstock.layers.rope_spec import RopeSpec
from penstock.layers.spec import AttentionSpec, NormSpec
from penstock.models.gguf_config import GgufArchitecture, architecture_row, gguf_config
from penstock.models.gguf_keys import GgufKeys
from penstock.models.gguf_names import TOP_TENSORS, layer_tensors
from penstock.models.hf_config import HfConfig
from penstock.models.registry import Family, find_family
from penstock.models.spec import DecoderSpec, LayerSpec

#: What the frequency of every rotated pair is divided by.
ROPE_FACTORS = "rope_freqs.weight"


def gguf_family(model: GgufModel) -> tuple[dict[str, Any], Family]:
    """A file's config, as of a folder, and its family.

    Raises:
        ModelError: an architecture that is not built, or a key that is missing or of another type, by name.
    """
    keys = GgufKeys(model.metadata, model.tensors)
    try:
        config = gguf_config(keys)
        factors = keys.factors(ROPE_FACTORS)
    except ModelError as error:
        raise ModelError(f"{model.path}: {error}") from None
    family, row = find_family(config), architecture_row(keys.architecture)

    def spec(config: HfConfig) -> DecoderSpec:
        try:
            return _as_stored(family.spec(config), row, factors)
        except ModelError as error:
            raise ModelError(str(error).replace("config.json:", f"{model.path}: its keys say:")) from None

    def names(config: HfConfig) -> Any:
        return layer_tensors(keys.architecture, spec(config))

    return config, replace(family, spec=spec, top_tensors=TOP_TENSORS, layer_names=names)


def _as_stored(spec: DecoderSpec, row: GgufArchitecture, factors: list[float] | None) -> DecoderSpec:
    """What the file's numbers are weights of, instead of what the family's own checkpoints hold."""
    layers = tuple(_layer_as_stored(layer, row, factors) for layer in spec.layers)
    return replace(spec, layers=layers, final_norm=_norm_as_stored(spec.final_norm, row))


def _layer_as_stored(layer: LayerSpec, row: GgufArchitecture, factors: list[float] | None) -> LayerSpec:
    attention = layer.attention
    if isinstance(attention, AttentionSpec):
        rope = None if attention.rope is None else _rope_as_stored(attention.rope, row, factors)
        qk_norm = None if attention.qk_norm is None else _norm_as_stored(attention.qk_norm, row)
        attention = replace(attention, rope=rope, qk_norm=qk_norm)
    return replace(layer, attention=attention, norm=_norm_as_stored(layer.norm, row))


def _norm_as_stored(norm: NormSpec, row: GgufArchitecture) -> NormSpec:
    return replace(norm, plus_one=False) if row.has_whole_norms else norm


def _rope_as_stored(rope: RopeSpec, row: GgufArchitecture, factors: list[float] | None) -> RopeSpec:
    if factors is not None:
        rope = replace(rope, kind="factors", short_factors=tuple(factors))
    return replace(rope, is_interleaved=True) if row.rotates_pairs else rope
