"""Reads a Hugging Face config in both spellings: transformers 4 (most published files) and transformers 5.

Every refusal is a ModelError that names the field and what was expected.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.errors import ModelError
from penstock.layers.spec import Activation

#: Sizes fit the int32 of shapes and positions; numbers fit float32.
MAX_INTEGER = 2**31 - 1
MIN_NUMBER, MAX_NUMBER = 2.0**-126, 1e38
#: Bounds on what a damaged config can make the checks walk over.
MAX_LAYERS = 10_000
MAX_HEADS = 65_536

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
    """A config's fields, typed and checked as they are read. An absent or null field takes its default.

    Args:
        fields: the parsed config.json.
        aliases: names that a family has for fields, by the names that they are asked for.
    """

    def __init__(self, fields: Mapping[str, Any], aliases: Mapping[str, str] | None = None) -> None:
        self.fields = fields
        self._aliases = aliases or {}

    def integer(
        self,
        name: str,
        *,
        default: int | None = None,
        at_least: int = 1,
        at_most: int = MAX_INTEGER,
        within: Mapping[str, Any] | None = None,
    ) -> int:
        """A whole number, of the config or of a dictionary within it."""
        value = self.get(name, default, within)
        if isinstance(value, float) and value.is_integer() and within is not None:  # as rope parameters are saved
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not at_least <= value <= at_most:
            bounds = "a positive integer" if at_least == 1 else f"an integer of at least {at_least}"
            bounds += "" if at_most == MAX_INTEGER else f" up to {at_most}"
            raise ModelError(f"config.json: {self._own(name)} must be {bounds}, found {shown(value)}")
        return value

    def number(self, name: str, *, default: float | None = None, within: Mapping[str, Any] | None = None) -> float:
        """A positive number."""
        value = self.get(name, default, within)
        if not isinstance(value, int | float) or isinstance(value, bool) or not MIN_NUMBER <= value < MAX_NUMBER:
            raise ModelError(f"config.json: {self._own(name)} must be a positive number, found {shown(value)}")
        return float(value)

    def maybe_number(self, name: str, *, default: float | None = None) -> float | None:
        """A positive number, or null for none: only an absent field takes the default."""
        if self.is_null(name) or (name not in self.fields and default is None):
            return None
        return self.number(name, default=default)

    def numbers(self, name: str, length: int, *, within: Mapping[str, Any]) -> tuple[float, ...]:
        """A list of that many positive numbers."""
        values = self.get(name, None, within)
        if not isinstance(values, list) or len(values) != length:
            raise ModelError(f"config.json: {name} must be a list of {length} numbers, found {shown(values)}")
        return tuple(self.number(name, within={name: value}) for value in values)

    def flag(self, name: str, *, default: bool = False, within: Mapping[str, Any] | None = None) -> bool:
        value = self.get(name, default, within)
        if not isinstance(value, bool):
            raise ModelError(f"config.json: {self._own(name)} must be true or false, found {shown(value)}")
        return value

    def refuse(self, name: str) -> None:
        """Refuses a switch that is on."""
        if self.flag(name):
            raise ModelError(f"config.json: {self._own(name)} is not supported, expected false")

    def activation(self, name: str = "hidden_act", *, default: str = "silu") -> Activation:
        """A field as `MlpSpec.activation`."""
        value = self.get(name, default)
        if not isinstance(value, str) or value not in ACTIVATIONS:
            known = sorted(ACTIVATIONS)
            raise ModelError(f"config.json: {name} {shown(value)} is not supported, expected one of {known}")
        return ACTIVATIONS[value]

    @property
    def num_layers(self) -> int:
        return self.integer("num_hidden_layers", at_most=MAX_LAYERS)

    def sliding_window(self, *, default: int | None = 4096) -> int | None:
        """`sliding_window`: absent takes transformers' default, null is none."""
        if self.is_null("sliding_window") or ("sliding_window" not in self.fields and default is None):
            return None
        return self.integer("sliding_window", default=default)

    def windows(
        self, window: int | None, *, first_layer: int = 0, full_every: int | None = None
    ) -> tuple[int | None, ...]:
        """For each layer its sliding window: by `layer_types` where given, else on all from `first_layer` on, but for
        those whose number, counted from 1, is a multiple of `full_every`."""
        num_layers = self.num_layers
        if window is None:
            return (None,) * num_layers
        types = self.get("layer_types", None)
        if types is None:
            is_full = (i < first_layer or (full_every and (i + 1) % full_every == 0) for i in range(num_layers))
            return tuple(None if full else window for full in is_full)
        known = {"full_attention": None, "sliding_attention": window}
        if not isinstance(types, list) or len(types) != num_layers or not all(kind in [*known] for kind in types):
            raise ModelError(f"config.json: layer_types must be one of {sorted(known)} for each of {num_layers} layers")
        return tuple(known[kind] for kind in types)

    def is_null(self, name: str) -> bool:
        """The field is there, and says that there is none."""
        return name in self.fields and self.fields[name] is None

    def get(self, name: str, default: Any, within: Mapping[str, Any] | None = None) -> Any:
        """A field as it was parsed."""
        value = self.fields.get(self._own(name), self.fields.get(name)) if within is None else within.get(name)
        return default if value is None else value

    def _own(self, name: str) -> str:
        return self._aliases.get(name, name)


def shown(value: Any) -> str:
    """A value as a sentence can hold it."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
