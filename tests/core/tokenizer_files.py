"""Small tokenizer.json files, one per way of decoding, with words and added tokens that are easily got wrong."""

import json
from typing import Any

MARK = "▁"
WORDS = ["a", "b", MARK, f"{MARK}a", f"{MARK}{MARK}", f"a{MARK}b", " ", "é", "日本", "<0x4G>", "\n", '"', "a b", ""]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]

METASPACE = {"type": "Metaspace", "replacement": MARK, "prepend_scheme": "always", "split": True}
REPLACE = {"type": "Replace", "pattern": {"String": MARK}, "content": " "}
FALLBACK, FUSE = {"type": "ByteFallback"}, {"type": "Fuse"}
STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}

DECODERS: dict[str, dict[str, Any]] = {
    "byte level": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
    "llama 2": {"type": "Sequence", "decoders": [REPLACE, FALLBACK, FUSE, STRIP]},
    "gemma": {"type": "Sequence", "decoders": [REPLACE, FALLBACK, FUSE]},
    "strip of two": {"type": "Sequence", "decoders": [REPLACE, FUSE, {**STRIP, "start": 2}]},
    "strip per token": {"type": "Sequence", "decoders": [REPLACE, STRIP]},
    "metaspace": METASPACE,
    "metaspace, first": {**METASPACE, "prepend_scheme": "first"},
    "metaspace, never": {**METASPACE, "prepend_scheme": "never"},
    "metaspace, old": {"type": "Metaspace", "replacement": MARK, "add_prefix_space": True},
    "metaspace, bytes": {"type": "Sequence", "decoders": [METASPACE, FALLBACK]},
}


def tokenizer_json(decoder: dict[str, Any], *, model: str = "BPE") -> str:
    """A tokenizer.json whose decoder is `decoder`. Byte-level vocabularies are spelled in GPT-2's alphabet as well."""
    tokens = list(dict.fromkeys([*BYTES, *WORDS, *_byte_level_tokens()]))
    added = [
        {"content": "<s>", "special": True},
        {"content": f" {MARK}added", "special": False},
        {"content": "é added", "special": False},
        {"content": "a", "special": True},  # a word that the model has already: special all the same
        {"content": "éĠ", "special": False},
        {"content": "<0xE6>", "special": False},
    ]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    layout = {"BPE": _bpe, "Unigram": _unigram}[model]
    return json.dumps(
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [{"id": len(tokens) + place, **token, **flags} for place, token in enumerate(added)],
            "normalizer": None,
            "pre_tokenizer": None,
            "post_processor": None,
            "decoder": decoder,
            "model": layout(tokens),
        }
    )


def _bpe(tokens: list[str]) -> dict[str, Any]:
    return {"type": "BPE", "vocab": {token: place for place, token in enumerate(tokens)}, "merges": []}


def _unigram(tokens: list[str]) -> dict[str, Any]:
    return {"type": "Unigram", "unk_id": 0, "vocab": [[token, -1.0] for token in tokens], "byte_fallback": True}


def _byte_level_tokens() -> list[str]:
    from tokenizers.pre_tokenizers import ByteLevel

    spell = ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str
    words = ["x", " x", "é", "\n\n", "日", "🙂🙂"]
    return [*sorted(ByteLevel.alphabet()), *(spell(word)[0][0] for word in words), spell("日本")[0][0][1:5]]
