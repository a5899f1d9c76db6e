"""JSON schemas of all types that a document names, under one `components/schemas`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

_REF = "#/components/schemas/{model}"


class Schemas:
    """The schemas of some types.

    Types are what annotations can say: models, dataclasses, `list[Model]`, `str`. Two models of one name get longer
    names, as pydantic gives them. A model's own defaults are not required of an answer, because answers leave out
    what is null.

    Attributes:
        components: by name, for `components/schemas`.
    """

    def __init__(self, types: Iterable[Any]) -> None:
        self._keys: list[Any] = []
        for each in types:
            if each not in self._keys:
                self._keys.append(each)
        mode: JsonSchemaMode = "validation"
        inputs = [(key, mode, TypeAdapter(each)) for key, each in enumerate(self._keys)]
        self._schemas, defs = TypeAdapter.json_schemas(inputs, ref_template=_REF) if inputs else ({}, {})
        self.components: dict[str, Any] = defs.get("$defs", {})

    def of(self, each: Any) -> dict[str, Any]:
        """The schema of a type, most often a `$ref`. None stands for anything."""
        return {} if each is None else dict(self._schemas[(self._keys.index(each), "validation")])
