"""The ids of pieces of text that come again: system prompts, tools, the turns of a chat.

A special token cuts a text in two that a tokenizer reads apart, so what stands between two of them has the same ids
wherever it stands. A chat sends all its turns again with each new one; of these only the new one is encoded.

Texts are kept per tenant. Otherwise the time that a prompt takes would tell whether somebody else has sent part of it.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

from tokenizers import AddedToken, Tokenizer

#: Bytes of all that is kept: some thousand pages of text.
MAX_BYTES = 16 << 20
#: One piece may take this share of them.
_MAX_SHARE = 8
#: What a piece costs beside its tenant, text and ids.
_PIECE_BYTES = 200

_Key = tuple[str, str]


class EncodedPieces:
    """A bounded store of ids by tenant and text; what was used least recently is forgotten. Thread-safe.

    Args:
        cut: a pattern that finds the special tokens; one group.
        token_ids: of each.
        encode: from several texts without special tokens to the ids of each.
        max_bytes: that are kept.

    Attributes:
        num_bytes: that are kept now.
    """

    def __init__(
        self, cut: re.Pattern[str], token_ids: dict[str, int], encode: Callable[[list[str]], list[list[int]]], *,
        max_bytes: int = MAX_BYTES,
    ) -> None:  # fmt: skip
        self._cut = cut
        self._always = {token: array("i", [token_id]) for token, token_id in token_ids.items()}
        self._encode = encode
        self._max_bytes = max_bytes
        self.num_bytes = 0
        self._kept: OrderedDict[_Key, array[int]] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def of(cls, tokenizer: Tokenizer, encode: Callable[[list[str]], list[list[int]]]) -> EncodedPieces | None:
        """None where a piece's ids depend on what stands beside it, or on chance."""
        tokens = tokenizer.get_added_tokens_decoder()
        hard = {token.content: token_id for token_id, token in tokens.items() if not token.normalized and token.content}
        takes_neighbours = any(map(_takes_neighbours, tokens.values()))
        if not hard or takes_neighbours or _knows_its_place(tokenizer) or getattr(tokenizer.model, "dropout", None):
            return None
        return cls(re.compile(f"({longest_of(hard)})"), hard, encode)

    def encode(self, text: str, *, tenant: str) -> list[int]:
        """The ids of `text`, without tokens that the tokenizer adds."""
        parts = self._cut.split(text)  # text, special token, text, …, text
        ids = self._look_up(parts, tenant)
        return self._learn(parts, tenant) if ids is None else ids

    def _look_up(self, parts: list[str], tenant: str) -> list[int] | None:
        """The ids of all parts together; None where one is not known."""
        ids = array("i")
        always, kept = self._always, self._kept
        with self._lock:
            for part in parts:
                if not part:
                    continue
                known = always.get(part)
                if known is None:
                    known = kept.get(key := (tenant, part))
                    if known is None:
                        return None
                    kept.move_to_end(key)
                ids += known
        return ids.tolist()

    def _learn(self, parts: list[str], tenant: str) -> list[int]:
        """The same where some are not known; from now on they are."""
        with self._lock:
            found = {part: self._always.get(part) or self._kept.get((tenant, part)) for part in parts if part}
        missing = [part for part, ids in found.items() if ids is None]
        for part, new in zip(missing, self._encode(missing), strict=True):
            found[part] = ids = array("i", new)
            self._keep((tenant, part), ids)
        return [token for part in parts for token in found.get(part) or ()]

    def _keep(self, key: _Key, ids: array[int]) -> None:
        num_bytes = _bytes_of(key, ids)
        if num_bytes * _MAX_SHARE > self._max_bytes:
            return
        with self._lock:
            if key in self._kept:  # another thread came first
                return
            self._kept[key] = ids
            self.num_bytes += num_bytes
            while self.num_bytes > self._max_bytes:
                self.num_bytes -= _bytes_of(*self._kept.popitem(last=False))


def _bytes_of(key: _Key, ids: array[int]) -> int:
    return sum(map(sys.getsizeof, (*key, ids))) + _PIECE_BYTES


def longest_of(words: Iterable[str]) -> str:
    """A pattern for the longest of `words` that begins at a place, found in one walk through it: as tokenizers look for
    their added tokens, of which some have thousands."""
    tree: dict[str, Any] = {}
    for word in words:
        node = tree
        for char in word:
            node = node.setdefault(char, {})
        node[""] = {}  # a word may end here
    return _pattern(tree)


def _pattern(node: dict[str, Any]) -> str:
    branches = [_branch(char, below) for char, below in node.items() if char]
    if not branches:
        return ""
    if "" in node:
        return f"(?:{'|'.join(branches)})?"
    return branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})"


def _branch(text: str, node: dict[str, Any]) -> str:
    """What begins with `text`, which goes on as long as there is one way to go on."""
    while len(node) == 1 and "" not in node:
        ((char, node),) = node.items()
        text += char
    return re.escape(text) + _pattern(node)


def _takes_neighbours(token: AddedToken) -> bool:
    """Whether it takes blanks beside it, or stands only between words."""
    return bool(token.lstrip or token.rstrip or token.single_word)


def _knows_its_place(tokenizer: Tokenizer) -> bool:
    """Whether the first piece of a text is read in another way than the others, as by some of SentencePiece's."""
    pre_tokenizer = tokenizer.pre_tokenizer
    if pre_tokenizer is None:
        return False
    return _holds_first(json.loads(pre_tokenizer.__getstate__()))


def _holds_first(state: Any) -> bool:
    if isinstance(state, dict):
        return state.get("prepend_scheme") == "first" or any(map(_holds_first, state.values()))
    return isinstance(state, list) and any(map(_holds_first, state))
