"""Reads a Hugging Face config in both spellings: transformers 4 (most published files) and transformers 5.

Every refusal is a ModelError that names the field and what was expected.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from penstock.errors import ModelError
from penstock.layers.rope_spec import RopeKind, RopeSpec
from penstock.layers.spec import Activation

#: Sizes fit the int32 of shapes and positions; numbers fit float32.
MAX_INTEGER = 2**31 - 1
MAX_NUMBER = 1e38
#: A bound on what a damaged config can make the checks walk over.
MAX_LAYERS = 10_000

#: transformers' names (its `activations.ACT2FN`) → ours.
ACTIVATIONS: dict[str, Activation] = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "relu2": "relu2",
}


class HfConfig:
    """A config's fields, typed and checked as they are read.

    Args:
        fields: the parsed config.json.
    """

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.fields = fields

    def integer(self, name: str, *, default: int | None = None, at_least: int = 1, at_most: int = MAX_INTEGER) -> int:
        """A whole number. An absent or null field takes `default`."""
        value = self._get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not at_least <= value <= at_most:
            bounds = "a positive integer" if at_least == 1 else f"an integer of at least {at_least}"
            bounds += "" if at_most == MAX_INTEGER else f" up to {at_most}"
            raise ModelError(f"config.json: {name} must be {bounds}, found {_shown(value)}")
        return value

    def number(self, name: str, *, default: float | None = None, within: Mapping[str, Any] | None = None) -> float:
        """A positive number, of the config or of a dictionary within it."""
        value = self._get(name, default, within)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < MAX_NUMBER:
            raise ModelError(f"config.json: {name} must be a positive number, found {_shown(value)}")
        return float(value)

    def flag(self, name: str, *, default: bool = False) -> bool:
        value = self._get(name, default)
        if not isinstance(value, bool):
            raise ModelError(f"config.json: {name} must be true or false, found {_shown(value)}")
        return value

    def activation(self, name: str = "hidden_act", *, default: str = "silu") -> Activation:
        """A field as `MlpSpec.activation`."""
        value = self._get(name, default)
        if not isinstance(value, str) or value not in ACTIVATIONS:
            known = sorted(ACTIVATIONS)
            raise ModelError(f"config.json: {name} {_shown(value)} is not supported, expected one of {known}")
        return ACTIVATIONS[value]

    def rope(self, *, default_theta: float = 10000.0) -> RopeSpec:
        """`rope_parameters` (transformers 5), or `rope_theta` with `rope_scaling` (transformers 4), which goes first
        where both are given, as there.

        The kinds are those of transformers' `modeling_rope_utils`: default, linear and llama3.
        """
        table = self._get("rope_scaling", None) or self._get("rope_parameters", None) or {}
        if not isinstance(table, Mapping) or any(isinstance(value, Mapping) for value in table.values()):
            raise ModelError("config.json: rope parameters must be one flat object for all layers")
        theta = self.number("rope_theta", default=self._get("rope_theta", default_theta), within=table)
        share = self._get("partial_rotary_factor", self._get("partial_rotary_factor", 1), table)
        if share != 1:
            raise ModelError(f"config.json: partial_rotary_factor {_shown(share)} is not supported, expected 1")
        kind = self._get("rope_type", self._get("type", "default", table), table)
        if kind not in get_args(RopeKind):
            known = sorted(get_args(RopeKind))
            raise ModelError(f"config.json: rope type {_shown(kind)} is not supported, expected one of {known}")
        if kind == "default":
            return RopeSpec(theta)
        factor = self.number("factor", within=table)
        if kind == "linear":
            return RopeSpec(theta, "linear", factor)
        return RopeSpec(
            theta,
            "llama3",
            factor,
            self.number("low_freq_factor", within=table),
            self.number("high_freq_factor", within=table),
            int(self.number("original_max_position_embeddings", within=table)),
        )

    def sliding_window(self, *, default: int = 4096) -> int | None:
        """`sliding_window`: absent takes transformers' default, null is none."""
        if "sliding_window" in self.fields and self.fields["sliding_window"] is None:
            return None
        return self.integer("sliding_window", default=default)

    def windows(self, window: int | None, *, first_layer: int = 0) -> tuple[int | None, ...]:
        """For each layer its sliding window: by `layer_types` where given, else on all from `first_layer` on."""
        num_layers = self.integer("num_hidden_layers", at_most=MAX_LAYERS)
        if window is None:
            return (None,) * num_layers
        types = self._get("layer_types", None)
        if types is None:
            types = ["full_attention" if i < first_layer else "sliding_attention" for i in range(num_layers)]
        known = {"full_attention": None, "sliding_attention": window}
        if not isinstance(types, list) or len(types) != num_layers or not all(kind in [*known] for kind in types):
            raise ModelError(f"config.json: layer_types must be one of {sorted(known)} for each of {num_layers} layers")
        return tuple(known[kind] for kind in types)

    def _get(self, name: str, default: Any, within: Mapping[str, Any] | None = None) -> Any:
        value = (self.fields if within is None else within).get(name)
        return default if value is None else value


def _shown(value: Any) -> str:
    """A value as a sentence can hold it."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
