"""The form that an answer must have, however a request asks for it: OpenAI's `response_format`, vLLM's
`structured_outputs` and its older `guided_*`, SGLang's and llama.cpp's fields. One may be given.

What a schema or grammar may hold is said where it is compiled (`rust/src/grammar`). A schema is always kept, whatever
`strict` says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

from penstock.errors import ApiError
from penstock.protocol.common import GenerationFields
from penstock.protocol.fields import BY_ABILITY
from penstock.protocol.refusal import describe

#: The fields that ask for a form.
STRUCTURED_FIELDS = BY_ABILITY["json"]
_FIELD_NAMES = frozenset(STRUCTURED_FIELDS)


@dataclass(frozen=True, slots=True)
class StructuredOutput:
    """A form for the whole answer.

    Attributes:
        kind: one of `_core.GRAMMAR_KINDS`.
        text: the grammar, as its kind has it.
        param: the field that asked for it.
    """

    kind: str
    text: str
    param: str


def structured_output(request: GenerationFields) -> StructuredOutput | None:
    """The form that a request asks for, None for none. Raises as `read_structured_output`."""
    given = _FIELD_NAMES & request.__pydantic_fields_set__
    if request.model_extra:
        given |= _FIELD_NAMES & request.model_extra.keys()
    if not given:  # most requests
        return None
    return read_structured_output({name: getattr(request, name) for name in STRUCTURED_FIELDS if name in given})


def read_structured_output(fields: Mapping[str, Any]) -> StructuredOutput | None:
    """The same of its fields by name, as sent.

    Raises:
        ApiError: a form that is not known, of the wrong type, or a second one.
    """
    given = [
        form
        for name, value in fields.items()
        if value is not None and (form := _READERS[name](value, name)) is not None
    ]
    if len(given) > 1:
        first, second = given[0].param.partition(".")[0], given[1].param.partition(".")[0]
        raise ApiError("invalid_value", f"'{second}' cannot be given together with '{first}'.", param=second)
    return given[0] if given else None


# ---- a reader for each field: its value, which is not null, and its name


def _response_format(value: Any, name: str) -> StructuredOutput | None:
    kind = _typed(value, dict, name).get("type")
    if kind == "text":
        return None
    if kind == "json_object":  # llama.cpp's has a schema beside it
        schema = value.get("schema")
        return _json_object(True, name) if schema is None else _schema(schema, f"{name}.schema")
    if kind == "json_schema":
        return _json_schema_format(value.get("json_schema"), f"{name}.json_schema")
    if kind == "structural_tag":
        return _structural_tag(value, name)
    if kind is None:
        raise ApiError("missing_parameter", f"'{name}.type' is required.", param=f"{name}.type")
    expected = "'text', 'json_object', 'json_schema' or 'structural_tag'"
    raise ApiError("invalid_value", f"'{name}.type' must be {expected}, not {describe(kind)}.", param=f"{name}.type")


def _json_schema_format(value: Any, name: str) -> StructuredOutput | None:
    if value is None:
        raise ApiError("missing_parameter", f"'{name}' is required.", param=name)
    schema = _typed(value, dict, name).get("schema")
    if schema is None:
        return _json_object(True, name)
    return _schema(schema, f"{name}.schema")


def _structured_outputs(value: Any, name: str) -> StructuredOutput | None:
    """vLLM's object: one of its constraints, and options of which those that change nothing are taken."""
    forms = []
    for key, each in _typed(value, dict, name).items():
        param = f"{name}.{key}"
        if each is None or key in _WITHOUT_EFFECT:
            continue
        if key in _CONSTRAINTS:
            forms.append(_CONSTRAINTS[key](each, param))
        elif each is not False:
            raise ApiError("unsupported_parameter", f"'{param}' is not supported.", param=param)
    found = [form for form in forms if form is not None]
    if len(found) > 1:
        raise ApiError("invalid_value", f"'{name}' must hold one constraint, not {len(found)}.", param=found[1].param)
    return found[0] if found else None


def _schema(value: Any, name: str) -> StructuredOutput:
    """A schema, or its JSON text."""
    text = value if isinstance(value, str) else to_json(_typed(value, (dict, bool), name)).decode()
    return StructuredOutput("json_schema", text, name)


def _json_object(value: Any, name: str) -> StructuredOutput | None:
    return StructuredOutput("json_object", "", name) if _typed(value, bool, name) else None


def _regex(value: Any, name: str) -> StructuredOutput:
    return StructuredOutput("regex", _typed(value, str, name), name)


def _choice(value: Any, name: str) -> StructuredOutput:
    return StructuredOutput("choice", to_json(_typed(value, list, name)).decode(), name)


def _grammar(value: Any, name: str) -> StructuredOutput | None:
    """Lark's, or EBNF: only there `::=` defines a rule."""
    text = _typed(value, str, name)
    return StructuredOutput("ebnf" if "::=" in text else "lark", text, name) if text else None


def _structural_tag(value: Any, name: str) -> StructuredOutput:
    text = value if isinstance(value, str) else to_json(_typed(value, dict, name)).decode()
    return StructuredOutput("structural_tag", text, name)


_Reader = Callable[[Any, str], StructuredOutput | None]

_CONSTRAINTS: dict[str, _Reader] = {
    "json": _schema,
    "regex": _regex,
    "choice": _choice,
    "grammar": _grammar,
    "json_object": _json_object,
    "structural_tag": _structural_tag,
}
#: Which library compiles it: here there is one.
_WITHOUT_EFFECT = frozenset({"backend", "_backend", "_backend_was_auto", "disable_fallback"})

_READERS: dict[str, _Reader] = {
    "response_format": _response_format,
    "structured_outputs": _structured_outputs,
    "guided_json": _schema,
    "guided_regex": _regex,
    "guided_choice": _choice,
    "guided_grammar": _grammar,
    "json_schema": _schema,
    "regex": _regex,
    "ebnf": _grammar,
    "grammar": _grammar,
    "structural_tag": _structural_tag,
}

_NAMES = {dict: "an object", list: "an array", str: "a string", bool: "true or false"}


def _typed(value: Any, kind: type | tuple[type, ...], name: str) -> Any:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if type(value) not in kinds:
        expected = " or ".join(_NAMES[each] for each in kinds)
        raise ApiError("invalid_type", f"'{name}' must be {expected}, not {describe(value)}.", param=name)
    return value
