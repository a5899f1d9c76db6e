"""JSON objects that stay dicts, because chat templates read dicts, and whose fields are attributes, too."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema


class WireObject(dict[str, Any]):
    """A dict with attributes: `message.role` is `message["role"]`, a field that is not there is None.

    A subclass annotates its fields and gives `fields`, the TypedDict that pydantic checks it by. A template must be
    given a plain dict: there, what is missing has to be undefined, not None.
    """

    fields: ClassVar[type]

    def __getattr__(self, name: str) -> Any:
        if name in type(self).__annotations__:
            return self.get(name)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in type(self).__annotations__:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        self[name] = value

    def model_dump(
        self, *, exclude_none: bool = False, exclude_unset: bool = True, mode: str = "python"
    ) -> dict[str, Any]:
        """As a pydantic model's: a plain dict, of what is set and of plain data in every mode."""
        return {name: value for name, value in self.items() if value is not None or not exclude_none}

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(cls, handler(cls.fields))
