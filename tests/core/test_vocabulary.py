"""Whole texts: `tokenizers` is the judge."""

import json
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_files import DECODERS, tokenizer_json
from tokenizers import Tokenizer

from penstock._core import Vocabulary


@cache
def pair(decoder: str, model: str) -> tuple[Tokenizer, Vocabulary]:
    text = tokenizer_json(DECODERS[decoder], model=model)
    return Tokenizer.from_str(text), Vocabulary.from_json(text.encode())


@pytest.mark.parametrize("decoder", DECODERS)
def test_every_token_alone_and_after_another_decodes_as_tokenizers_does(decoder: str) -> None:
    judge, vocabulary = pair(decoder, "BPE")
    assert len(vocabulary) == judge.get_vocab_size()
    for token in range(len(vocabulary)):
        for ids in ([token], [token, token], [260, token], [token, 260]):
            assert vocabulary.decode(ids) == judge.decode(ids), ids
            assert vocabulary.decode(ids, skip_special=False) == judge.decode(ids, skip_special_tokens=False), ids


@pytest.mark.parametrize(("decoder", "model"), [*((decoder, "BPE") for decoder in DECODERS), ("llama 2", "Unigram")])
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_any_ids_decode_as_tokenizers_does(decoder: str, model: str, data: st.DataObject) -> None:
    judge, vocabulary = pair(decoder, model)
    token = st.integers(0, len(vocabulary) - 1) | st.integers(0, 255)
    ids = data.draw(st.lists(token, max_size=20))
    assert vocabulary.decode(ids) == judge.decode(ids)
    assert vocabulary.decode(ids, skip_special=False) == judge.decode(ids, skip_special_tokens=False)


def test_golden_cases(golden_tokenizer: Path) -> None:
    vocabulary = Vocabulary.from_json((golden_tokenizer / "tokenizer.json").read_bytes())
    cases = json.loads((golden_tokenizer / "tokenizer_cases.json").read_text())
    assert cases
    for case in cases:
        assert vocabulary.decode(case["ids"]) == case["decoded_skip_special"], case["name"]
        assert vocabulary.decode(case["ids"], skip_special=False) == case["decoded"], case["name"]


@pytest.mark.parametrize("token", [-1, 100_000, 1 << 40])
def test_an_id_outside_the_vocabulary_is_refused(token: int) -> None:
    _, vocabulary = pair("byte level", "BPE")
    with pytest.raises(ValueError, match=f"token id {token} is not in the vocabulary"):
        vocabulary.decode([token])


@pytest.mark.parametrize(
    ("decoder", "name"),
    [({"type": "WordPiece", "prefix": "##", "cleanup": True}, "WordPiece"), ({"type": "CTC"}, "CTC")],
)
def test_a_decoder_that_cannot_be_streamed_is_named(decoder: dict[str, object], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Vocabulary.from_json(tokenizer_json(decoder).encode())


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b"\xff", b'{"model": {"type": "BPE"}}'])
def test_what_is_no_tokenizer_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"tokenizer\.json"):
        Vocabulary.from_json(data)
