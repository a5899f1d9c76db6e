"""Reads a Hugging Face config in both spellings: transformers 4 (most published files) and transformers 5.

Every refusal is a ModelError that names the field and what was expected.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from penstock.errors import ModelError
from penstock.models.spec import RopeKind, RopeSpec

ACTIVATIONS = {"silu": "silu", "swish": "silu", "gelu_pytorch_tanh": "gelu_tanh", "gelu_new": "gelu_tanh"}


class HfConfig:
    """A config's fields, typed and checked as they are read.

    Args:
        fields: the parsed config.json.
    """

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.fields = fields

    def integer(self, name: str, *, default: int | None = None) -> int:
        """A positive whole number. An absent or null field takes `default`."""
        value = self._get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
            raise ModelError(f"config.json: {name} must be a positive integer, found {value!r}")
        return value

    def number(self, name: str, *, default: float | None = None, within: Mapping[str, Any] | None = None) -> float:
        """A positive number, of the config or of a dictionary within it."""
        value = self._get(name, default, within)
        if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
            raise ModelError(f"config.json: {name} must be a positive number, found {value!r}")
        return float(value)

    def flag(self, name: str, *, default: bool = False) -> bool:
        value = self._get(name, default)
        if not isinstance(value, bool):
            raise ModelError(f"config.json: {name} must be true or false, found {value!r}")
        return value

    def activation(self) -> Any:
        """`hidden_act` as `DecoderSpec.activation`."""
        value = self._get("hidden_act", "silu")
        if value not in ACTIVATIONS:
            known = sorted(ACTIVATIONS)
            raise ModelError(f"config.json: hidden_act {value!r} is not supported, expected one of {known}")
        return ACTIVATIONS[value]

    def rope(self, *, default_theta: float = 10000.0) -> RopeSpec:
        """`rope_parameters` (transformers 5), or `rope_theta` with `rope_scaling` (transformers 4).

        The kinds are those of transformers' `modeling_rope_utils`: default, linear and llama3.
        """
        table = self._get("rope_parameters", None)
        if table is None:
            table = self._get("rope_scaling", None) or {}
        if not isinstance(table, Mapping) or any(isinstance(value, Mapping) for value in table.values()):
            raise ModelError("config.json: rope parameters must be one flat object for all layers")
        theta = self.number("rope_theta", default=self.fields.get("rope_theta") or default_theta, within=table)
        kind = table.get("rope_type") or table.get("type") or "default"
        if kind not in get_args(RopeKind):
            raise ModelError(f"config.json: rope type {kind!r} is not supported, expected one of {get_args(RopeKind)}")
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
        num_layers = self.integer("num_hidden_layers")
        if window is None:
            return (None,) * num_layers
        types = self._get("layer_types", None)
        if types is None:
            types = ["full_attention" if i < first_layer else "sliding_attention" for i in range(num_layers)]
        known = {"full_attention": None, "sliding_attention": window}
        if len(types) != num_layers or not set(types) <= set(known):
            raise ModelError(f"config.json: layer_types must be one of {sorted(known)} for each of {num_layers} layers")
        return tuple(known[kind] for kind in types)

    def _get(self, name: str, default: Any, within: Mapping[str, Any] | None = None) -> Any:
        value = (self.fields if within is None else within).get(name)
        return default if value is None else value
