"""Tool calls, written by hand and by chance, read back: `json` and `jsonschema` judge."""

from __future__ import annotations

import array
import json
import random
from typing import Any

import jsonschema
import pytest

from penstock import _core

_STRINGS = [
    "",
    "Paris",
    'a "quoted"\\ back',
    "línea\nuno\ttwo",
    "😀 \u2028",
    "<b>&amp;</b>",
    "{'x': [1]}",
    "null",
    "12",
]
_VALUES: list[Any] = [0, -7, 2.5, 1e-7, True, False, None, [], {}, [1, [2, {"a": None}]], {"k é": {"n": [True]}}]

_PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "value": {"type": ["integer", "number", "boolean", "null", "array", "object"]},
    },
    "required": ["text", "value"],
    "additionalProperties": False,
}


def _tools(parameters: dict[str, Any], *, strict: bool = False) -> bytes:
    function = {"name": "note", "parameters": parameters, "strict": strict}
    return json.dumps([{"type": "function", "function": function}]).encode()


def _typed(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _gemma(value: Any) -> str:
    if isinstance(value, str):
        return f'<|"|>{value}<|"|>'
    if isinstance(value, dict):
        return "{" + ",".join(f"{_gemma(key)}:{_gemma(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_gemma, value)) + "]"
    return json.dumps(value)


def _written(arguments: dict[str, Any]) -> dict[str, str]:
    """A call of `note` as models of each kind of format write it."""
    as_json = json.dumps(arguments, ensure_ascii=False)
    escaped = json.dumps(arguments, indent=1)
    keywords = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    tags = [f"<parameter={name}>\n{_typed(value)}\n</parameter>" for name, value in arguments.items()]
    pairs = [f"<arg_key>{name}</arg_key>\n<arg_value>{_typed(value)}</arg_value>" for name, value in arguments.items()]
    return {
        "hermes": f'<tool_call>\n{{"name": "note", "arguments": {as_json}}}\n</tool_call>',
        "llama3_json": f'{{"name": "note", "parameters": {escaped}}}',
        "openai": json.dumps({"name": "note", "arguments": as_json}),
        "kimi_k2": "<|tool_calls_section_begin|><|tool_call_begin|>functions.note:0<|tool_call_argument_begin|>"
        f"{as_json}<|tool_call_end|><|tool_calls_section_end|>",
        "pythonic": f"[note({keywords})]",
        "qwen3_coder": "<tool_call>\n<function=note>\n" + "\n".join(tags) + "\n</function>\n</tool_call>",
        "glm45": "<tool_call>note\n" + "\n".join(pairs) + "\n</tool_call>",
        "gemma4": "<|tool_call>call:note{"
        + ",".join(f"{name}:{_gemma(value)}" for name, value in arguments.items())
        + "}<tool_call|>",
    }


@pytest.mark.parametrize("tool_format", list(_written({})))
def test_arguments_come_back_as_they_were_written_whole_or_in_pieces(tool_format: str) -> None:
    tools = _tools(_PARAMETERS)
    chance = random.Random(tool_format)
    for text in _STRINGS:
        for value in _VALUES:
            output = _written({"text": text, "value": value})[tool_format]
            cuts = sorted(chance.choices(range(len(output) + 1), k=4))
            pieces = [output[a:b] for a, b in zip([0, *cuts], [*cuts, len(output)], strict=True)]
            for split in ([output], pieces):
                content, _, calls = _core.parse_output(split, tools=tools, tool_format=tool_format)
                assert content == ""
                assert [name for _, name, _ in calls] == ["note"]
                assert json.loads(calls[0][2]) == {"text": text, "value": value}, output


def test_ids_are_new_for_each_call_unless_the_model_writes_them() -> None:
    written = _written({"text": "", "value": 1})
    tools = _tools(_PARAMETERS)
    ids = [
        _core.parse_output([written["hermes"] * 2], tools=tools, tool_format="hermes")[2][place][0] for place in (0, 1)
    ]
    assert len({*ids}) == 2
    assert all(len(call_id) == len("call_") + 24 for call_id in ids)
    assert _core.parse_output([written["kimi_k2"]], tools=tools, tool_format="kimi_k2")[2][0][0] == "functions.note:0"


def test_no_call_is_looked_for_without_tools() -> None:
    output = _written({"text": "", "value": 1})["hermes"]
    assert _core.parse_output([output], tool_format="hermes") == (output, "", [])


def test_markup_in_a_json_string_of_harmony_is_what_the_model_says():
    tools = json.dumps([{"type": "function", "function": {"name": "note", "parameters": {"type": "object"}}}]).encode()
    arguments = '{"a": "x<|end|> \\" <|call|>y", "b": {}}'
    output = f"<|channel|>commentary to=functions.note<|message|>{arguments}<|call|>"
    for at in range(len(output)):
        _, _, calls = _core.parse_output([output[:at], output[at:]], tools=tools, tool_format="harmony")
        assert [call[1:] for call in calls] == [("note", arguments)]


# ---- constrained calls

_STRICT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "count": {"type": "integer", "minimum": 0, "maximum": 99},
        "kind": {"enum": ["a", "b c"]},
        "done": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
        "place": {
            "type": "object",
            "properties": {"lat": {"type": "number"}, "name": {"type": ["string", "null"]}},
            "required": ["name"],
            "additionalProperties": False,
        },
    },
    "required": ["count", "kind", "place"],
    "additionalProperties": False,
}

_EOS = 256
#: What ends a free text or a string in some format: by chance alone none would ever end.
_ENDINGS = (
    '"',
    "\n</parameter>\n",
    "</parameter>\n",
    "</｜DSML｜parameter>\n",
    "</steptml:parameter>",
    "</arg_value>\n",
    "</arg_value>",
    "<escape>",
    '<|"|>',
    "<|end|>",
)


class _Row:
    """A row that writes under a grammar, one byte a token."""

    def __init__(self, grammar: _core.Grammar) -> None:
        self._rows = _core.GrammarRows(num_threads=1)
        self._rows.join(1, grammar)
        self._key = array.array("Q", [1])
        self.written = bytearray()
        self._look()

    def _look(self) -> None:
        _, masks, complete, failed = self._rows.take_ready(self._key, wait_s=20.0)
        assert not failed, failed
        self._mask = int.from_bytes(masks, "little")
        self.is_complete = bool(complete)

    def allows(self, token: int) -> bool:
        return bool(self._mask >> token & 1)

    @property
    def choices(self) -> list[int]:
        return [token for token in range(_EOS + 1) if self.allows(token)]

    def write(self, byte: int) -> None:
        self.written.append(byte)
        self._rows.advance(self._key, array.array("i", [byte]), array.array("B", [0]))
        self._look()

    def try_to_write(self, text: str) -> None:
        for byte in text.encode():
            if self.is_complete or not self.allows(byte):
                return
            self.write(byte)


def _write_by_chance(grammar: _core.Grammar, chance: random.Random) -> str:
    row = _Row(grammar)
    while not row.is_complete and len(row.written) < 3000:
        choices = row.choices
        if _EOS in choices and (len(choices) == 1 or chance.random() < 0.3):
            break
        texts = [token for token in choices if token < _EOS]
        if len(texts) > 60 and chance.random() < 0.4:
            ending = chance.choice(_ENDINGS)
            # A special token of real vocabularies, which no argument holds.
            if ending != "<|end|>" or b"commentary" not in row.written:
                row.try_to_write(ending)
        elif len(texts) > 60:
            row.try_to_write(chance.choice(["x", "é", " ", "7", "</", "\n", "'"]))
        else:
            row.write(chance.choice(texts))
    return row.written.decode()


@pytest.fixture(scope="module")
def vocabulary() -> _core.Vocabulary:
    """The bytes, each a token of its own, and `<eos>`."""
    tokens = {f"<0x{byte:02X}>": byte for byte in range(256)}
    file = {
        "added_tokens": [{"id": _EOS, "content": "<eos>", "special": True}],
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {"type": "BPE", "vocab": tokens, "merges": []},
    }
    return _core.Vocabulary.from_json(json.dumps(file).encode())


@pytest.fixture(scope="module")
def factory(vocabulary: _core.Vocabulary) -> _core.GrammarFactory:
    return _core.GrammarFactory(vocabulary, num_ids=_EOS + 1, stop_ids=[_EOS])


@pytest.mark.parametrize("tool_format", _core.TOOL_FORMATS)
def test_a_call_by_chance_is_a_valid_call(
    tool_format: str, factory: _core.GrammarFactory, vocabulary: _core.Vocabulary
) -> None:
    tools = _tools(_STRICT, strict=True)
    lark = _core.tool_grammar(tool_format, tools, vocabulary=vocabulary, required=True, parallel=False)
    grammar = factory.compile("lark", lark)
    for seed in range(3):
        output = _write_by_chance(grammar, random.Random(seed))
        content, _, calls = _core.parse_output([output], tools=tools, tool_format=tool_format)
        assert content == "", output
        assert [name for _, name, _ in calls] == ["note"], output
        jsonschema.validate(json.loads(calls[0][2]), _STRICT)


def test_a_schema_that_a_format_cannot_enforce_is_refused(vocabulary: _core.Vocabulary) -> None:
    tools = _tools({"type": "object", "properties": {"a": {"type": "string", "pattern": "x+"}}})
    with pytest.raises(ValueError, match='the parameters of tool "note": "a": \'pattern\' of a string'):
        _core.tool_grammar("qwen3_coder", tools, vocabulary=vocabulary, required=True)
