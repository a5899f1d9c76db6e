"""A model's tokenizer: tokenizer.json and the special tokens its config names, or what a GGUF file says of them. No
templates, no limits here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from penstock._core import Vocabulary
from penstock.errors import ModelError
from penstock.gguf_file import is_gguf, read_gguf
from penstock.prompt.encoded_pieces import EncodedPieces

#: A text below this is encoded without letting go of the GIL.
_SHORT_TEXT_CHARS = 256


@dataclass(frozen=True, slots=True)
class FolderTokenizer:
    """What a folder or a GGUF file says about tokens.

    Attributes:
        tokenizer: text -> ids; truncation and padding are off, whatever the file says.
        vocabulary: ids -> bytes, for streams.
        special_tokens: "bos_token" -> "<s>" and so on, as templates see them.
        config: tokenizer_config.json, or {}.
        longest_token_bytes: an upper bound of the bytes of text behind one token.
        pieces: the ids of texts that come again; None where a text can only be read whole.
    """

    tokenizer: Tokenizer
    vocabulary: Vocabulary
    special_tokens: dict[str, Any]
    config: dict[str, Any]
    longest_token_bytes: int
    pieces: EncodedPieces | None

    @classmethod
    def load(cls, folder: Path) -> FolderTokenizer:
        """Raises ModelError when tokenizer.json is missing, broken, or of a kind that cannot be streamed."""
        if is_gguf(folder):
            data, config = read_gguf(folder).tokenizer()
            tokenizer, vocabulary = _build_tokenizer(data, folder)
            special_tokens = _special_tokens(config)
        else:
            tokenizer, vocabulary = _read_tokenizer(folder / "tokenizer.json")
            config = read_json_object(folder / "tokenizer_config.json")
            special_tokens = _special_tokens(read_json_object(folder / "special_tokens_map.json") | config)
        longest = max((len(token.encode()) for token in tokenizer.get_vocab()), default=1)
        pieces = EncodedPieces.of(tokenizer, lambda texts: _encode(tokenizer, texts, add_special_tokens=False))
        return cls(tokenizer, vocabulary, special_tokens, config, longest, pieces)

    def encode(self, text: str, *, add_special_tokens: bool, tenant: str | None = None) -> list[int]:
        """Token ids. Any thread.

        Args:
            tenant: for whom its pieces are remembered; None: for nobody.
        """
        adds_none = not add_special_tokens or self.tokenizer.num_special_tokens_to_add(False) == 0
        if tenant is not None and adds_none and self.pieces is not None:
            return self.pieces.encode(text, tenant=tenant)
        return _encode(self.tokenizer, [text], add_special_tokens=add_special_tokens)[0]

    def encode_last(self, text: str, num_tokens: int, *, add_special_tokens: bool) -> list[int]:
        """The last tokens of a text, at most `num_tokens`; with special tokens, as tokenizers truncate, they count too
        and are kept."""
        num_special = self.tokenizer.num_special_tokens_to_add(False) if add_special_tokens else 0
        if num_special >= num_tokens:
            return self.encode(text, add_special_tokens=add_special_tokens)[-num_tokens:]
        encoding = self.tokenizer.encode_batch_fast([text], add_special_tokens=False)[0]
        encoding.truncate(num_tokens - num_special, direction="left")
        ids: list[int] = self.tokenizer.post_process(encoding, add_special_tokens=add_special_tokens).ids
        return ids

    @property
    def start_ids(self) -> list[int]:
        """The model's start token, if it has one: what a continuation of nothing begins with."""
        token = self.tokenizer.token_to_id(self.special_tokens.get("bos_token", ""))
        return [] if token is None else [token]


def _encode(tokenizer: Tokenizer, texts: list[str], *, add_special_tokens: bool) -> list[list[int]]:
    """The ids of each text. Unless they are short, the GIL is free meanwhile: `encode` keeps it (950 ms for 1 MB of
    text), while `encode_batch_fast` does not and spends a quarter of the time, since it keeps no offsets. For a short
    text, getting the GIL back from another thread takes several times as long as encoding."""
    if sum(map(len, texts)) < _SHORT_TEXT_CHARS:
        return [tokenizer.encode(text, add_special_tokens=add_special_tokens).ids for text in texts]
    return [each.ids for each in tokenizer.encode_batch_fast(texts, add_special_tokens=add_special_tokens)]


def read_json_object(path: Path) -> dict[str, Any]:
    """A JSON file's object; {} when there is no such file. Raises ModelError when it is something else."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} must hold a JSON object, not a {type(value).__name__}")
    return value


def _read_tokenizer(path: Path) -> tuple[Tokenizer, Vocabulary]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path.parent} has no readable tokenizer.json: {error.strerror or error}") from error
    return _build_tokenizer(data, path)


def _build_tokenizer(data: bytes, path: Path) -> tuple[Tokenizer, Vocabulary]:
    """Of a tokenizer.json, which `path` has."""
    try:
        tokenizer = Tokenizer.from_buffer(data)
        vocabulary = Vocabulary.from_json(data)
    except Exception as error:  # tokenizers raises whatever it likes
        raise ModelError(f"{path} is no tokenizer that Penstock can serve: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer, vocabulary


def _special_tokens(config: dict[str, Any]) -> dict[str, Any]:
    """The entries whose names end in `_token`, as strings: the files hold strings or {"content": …} objects."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        content = value.get("content") if isinstance(value, dict) else value
        if name.endswith("_token") and isinstance(content, str):
            found[name] = content
    return found
