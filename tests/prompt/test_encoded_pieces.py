"""Texts read piece by piece, each piece once. Judge: the tokenizer itself, given the whole text."""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, trainers

from penstock.prompt import PromptEncoder
from penstock.prompt.encoded_pieces import EncodedPieces
from penstock.prompt.tokenizer import FolderTokenizer

DATA = Path(__file__).parents[1] / "data/tokenizer"
#: One begins as another does, one is a blank, and two are not special.
ADDED = ["<|im_start|>", "<|im_end|>", "<|im", "<|im_start|>user", "\n\n", "<b>"]
CORPUS = ["water runs down the pipe <|im and turns the wheel", "user\nassistant\n  the  wheel’s stone 123 é🙂"]
PARTS = [*ADDED, "user", "<", "|im_st", " ", "  ", "\n", "water runs", " the wheel's", "Wheel", *"é🙂▁İⅧ", "123"]
TEXTS = st.lists(st.sampled_from(PARTS) | st.text(max_size=4), max_size=12).map("".join)


def trained(*, normalizer: object = None, pre_tokenizer: object = None, **added: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=120, special_tokens=["<unk>"]))
    tokenizer.add_tokens([AddedToken(word, special="<|" in word, **{"normalized": False, **added}) for word in ADDED])
    tokenizer.add_tokens([AddedToken("Wheel", normalized=True)])  # looked for in normalized text: no cut
    return tokenizer


def pieces_of(tokenizer: Tokenizer) -> EncodedPieces | None:
    def encode(texts: list[str]) -> list[list[int]]:
        return [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]

    return EncodedPieces.of(tokenizer, encode)


KINDS = {
    "split and bytes": lambda: FolderTokenizer.load(DATA).tokenizer,
    "bytes": lambda: trained(pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=True)),
    "nothing": trained,
    "sentencepiece": lambda: trained(
        normalizer=normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    ),
    "metaspace": lambda: trained(normalizer=normalizers.NFKC(), pre_tokenizer=pre_tokenizers.Metaspace()),
    "words": lambda: trained(normalizer=normalizers.Lowercase(), pre_tokenizer=pre_tokenizers.BertPreTokenizer()),
}


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_are_encoded_as_the_whole(kind: str) -> None:
    tokenizer = KINDS[kind]()
    pieces = pieces_of(tokenizer)
    assert pieces is not None

    @settings(max_examples=100, deadline=None)
    @given(text=TEXTS)
    def check(text: str) -> None:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        assert pieces.encode(text, tenant="a") == ids
        assert pieces.encode(text, tenant="a") == ids  # now from what is kept

    check()


@pytest.mark.parametrize("flag", ["lstrip", "rstrip", "single_word"])
def test_a_token_that_looks_beside_it_forbids_pieces(flag: str) -> None:
    assert pieces_of(trained(**{flag: True})) is None


def test_a_first_piece_that_is_read_differently_forbids_pieces() -> None:
    first = pre_tokenizers.Metaspace(prepend_scheme="first")
    assert pieces_of(trained(pre_tokenizer=first)) is None
    assert pieces_of(trained(pre_tokenizer=pre_tokenizers.Sequence([first]))) is None


def test_chance_forbids_pieces() -> None:
    tokenizer = trained()
    tokenizer.model.dropout = 0.1
    assert pieces_of(tokenizer) is None


class Counting:
    """Encodes each character as its code; counts the texts."""

    def __init__(self, max_bytes: int) -> None:
        self.seen: list[str] = []
        tokenizer = trained()
        made = EncodedPieces.of(tokenizer, self.encode)
        assert made is not None
        self.pieces = EncodedPieces(made._cut, {"<|im_start|>": 1, "<|im_end|>": 2}, self.encode, max_bytes=max_bytes)

    def encode(self, texts: list[str]) -> list[list[int]]:
        self.seen += texts
        return [list(map(ord, text)) for text in texts]


def test_of_a_chat_only_the_new_turn_is_encoded() -> None:
    counting = Counting(1 << 20)
    first = "<|im_start|>system\nBe brief.<|im_end|><|im_start|>ask\nHi<|im_end|>"
    counting.pieces.encode(first, tenant="a")
    counting.seen.clear()
    counting.pieces.encode(first + "<|im_start|>answer\nHello<|im_end|>", tenant="a")
    assert counting.seen == ["answer\nHello"]


def test_what_one_tenant_sent_is_encoded_anew_for_another() -> None:
    """The time that a prompt takes must not tell what somebody else has sent."""
    counting = Counting(1 << 20)
    for tenant in ("a", "b", "a"):
        counting.pieces.encode("a secret", tenant=tenant)
    assert counting.seen == ["a secret"] * 2


def test_pieces_are_bounded_in_bytes_and_the_least_used_go_first() -> None:
    counting, rng = Counting(40_000), random.Random(1)
    counting.pieces.encode("kept", tenant="a")
    for i in range(300):
        text = f"{i}" + "x" * rng.randrange(500)
        assert counting.pieces.encode(text, tenant="a") == list(map(ord, text))
        counting.pieces.encode("kept", tenant="a")
        assert counting.pieces.num_bytes <= 40_000
    assert counting.seen.count("kept") == 1
    counting.pieces.encode("y" * 5000, tenant="a")  # too large a share
    assert counting.pieces.num_bytes <= 40_000
    assert counting.seen.count("kept") == 1


def test_a_tenants_name_counts_among_the_bytes() -> None:
    """It holds the request's `cache_salt`, which a client may make long, and another with each request."""
    counting = Counting(40_000)
    for number in range(200):
        counting.pieces.encode("a", tenant=f"{number} {'s' * 500}")
    assert sum(len(tenant) for tenant, _ in counting.pieces._kept) < 40_000


def test_a_chat_is_remembered_for_its_tenant(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = PromptEncoder.load(DATA)
    messages = [{"role": "user", "content": "Hi"}]
    first = encoder.encode_chat(messages)
    for tenant in ("a", "a", "b", None):
        assert encoder.encode_chat(messages, tenant=tenant) == first
    assert encoder._tokenizer.pieces is not None
    assert {tenant for tenant, _ in encoder._tokenizer.pieces._kept} == {"a", "b"}
