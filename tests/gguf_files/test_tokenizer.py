"""Tokenizers rebuilt from a GGUF file's keys: judged by the tokenizers that the keys were taken from."""

import json
from pathlib import Path

import gguf
import pytest
from golden import GOLDEN
from hypothesis import given, settings
from hypothesis import strategies as st
from made_gguf import add_key, add_tokenizer
from tokenizers import Tokenizer, decoders, models, normalizers, processors, trainers

from penstock.errors import ModelError
from penstock.gguf_file import read_gguf
from penstock.prompt import PromptEncoder

TEXTS = st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from(" \n\tabeit'.,019äß中😀"))).map(str)
#: What the trained tokenizer has seen.
PROSE = Path(__file__).read_text().splitlines()


def write(file: Path, **keys) -> Path:
    """A file of keys alone. Bytes are a key's type: a list is one of texts, floats or ints, as its first item."""
    writer = gguf.GGUFWriter(file, "llama")
    for key, value in keys.items():
        add_key(writer, "tokenizer." + key.replace("__", "."), value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return file


def rebuilt(file: Path) -> Tokenizer:
    return Tokenizer.from_buffer(read_gguf(file).tokenizer()[0])


def ids(tokenizer: Tokenizer, text: str) -> tuple[list[int], list[int]]:
    """Without and with special tokens."""
    plain, special = (tokenizer.encode(text, add_special_tokens=each).ids for each in (False, True))
    return plain, special


# ---- byte-level BPE


@pytest.fixture(scope="module")
def byte_level(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, Tokenizer]:
    """That of the golden checkpoints, and the same from a file."""
    if not (GOLDEN / "tokenizer").is_dir():
        pytest.skip(f"the golden tokenizer is not in {GOLDEN} (PENSTOCK_GOLDEN)")
    file = tmp_path_factory.mktemp("tokenizer") / "bytes.gguf"
    writer = gguf.GGUFWriter(file, "llama")
    add_tokenizer(writer, GOLDEN / "tokenizer", 1280)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return Tokenizer.from_file(str(GOLDEN / "tokenizer" / "tokenizer.json")), rebuilt(file)


def test_byte_level_on_the_recorded_cases(byte_level: tuple[Tokenizer, Tokenizer]):
    whole, made = byte_level
    cases = json.loads((GOLDEN / "tokenizer" / "tokenizer_cases.json").read_text())
    texts = [case["text"] for case in cases if "text" in case]
    assert len(texts) > 20
    for text in texts:
        assert ids(made, text) == ids(whole, text), text
        assert made.decode(ids(made, text)[1]) == whole.decode(ids(whole, text)[1])


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_byte_level_on_any_text(byte_level: tuple[Tokenizer, Tokenizer], text: str):
    whole, made = byte_level
    assert ids(made, text) == ids(whole, text)


# ---- SentencePiece's BPE


def train(*, has_prefix: bool) -> Tokenizer:
    """As transformers writes Llama 2's, with a vocabulary of its own."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    blanks = normalizers.Replace(" ", "▁")
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), blanks]) if has_prefix else blanks
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=special, show_progress=False, max_token_length=8)
    tokenizer.train_from_iterator(PROSE, trainer)
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if token["id"] < 3]
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
        *([decoders.Strip(" ", 1, 0)] if has_prefix else []),
    ])  # fmt: skip
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A <s> $B", [("<s>", 1)])
    return tokenizer


def write_pieces(tokenizer: Tokenizer, file: Path, *, has_prefix: bool) -> Path:
    """The score of a piece falls with its number, as SentencePiece's training numbers them."""
    vocab = {index: token for token, index in tokenizer.get_vocab().items()}
    types = [2, 3, 3, *([6] * 256)]
    return write(
        file,
        ggml__model="llama",
        ggml__tokens=[vocab[index] for index in range(len(vocab))],
        ggml__scores=[-float(max(index - 258, 0)) for index in range(len(vocab))],
        ggml__token_type=[*types, *([1] * (len(vocab) - len(types)))],
        ggml__add_space_prefix=has_prefix,
    )


@pytest.fixture(scope="module", params=[True, False], ids=["with-prefix", "without"])
def pieces(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, Tokenizer]:
    whole = train(has_prefix=request.param)
    file = write_pieces(whole, tmp_path_factory.mktemp("pieces") / "pieces.gguf", has_prefix=request.param)
    return whole, rebuilt(file)


@settings(max_examples=200, deadline=None)
@given(st.one_of(TEXTS, st.sampled_from(PROSE), st.lists(st.sampled_from(["<s>", "</s>", " a", "it "])).map("".join)))
def test_pieces_on_any_text(pieces: tuple[Tokenizer, Tokenizer], text: str):
    whole, made = pieces
    assert ids(made, text) == ids(whole, text)
    assert made.decode(ids(made, text)[0]) == whole.decode(ids(whole, text)[0])


# ---- how byte-level tokenizers split


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("gpt-2", "It's 12345 x", ["It", "'s", " 12345", " x"]),
        ("llama-bpe", "IT'S 12345\n\n x", ["IT", "'S", " ", "123", "45", "\n\n", " x"]),
        ("qwen2", "a 123", ["a", " ", "1", "2", "3"]),
        ("starcoder", "a 12b", ["a", " ", "1", "2", "b"]),
        ("tekken", "HelloWorld 12", ["Hello", "World", " ", "1", "2"]),
        ("gpt-4o", "don't 1234", ["don't", " ", "123", "4"]),
        ("deepseek-v3", "a中文1234", ["a", "中文", "123", "4"]),
        ("falcon", "a, 1234", ["a", ",", " ", "123", "4"]),
        ("deepseek-llm", "ab\n12", ["ab", "\n", "12"]),
        ("default", "a,1234", ["a", ",", "123", "4"]),
    ],
)
def test_texts_are_split_as_the_file_says(name: str, text: str, wanted: list[str], tmp_path: Path):
    file = write(
        tmp_path / "split.gguf", ggml__model="gpt2", ggml__pre=name, ggml__tokens=["a", "b"], ggml__merges=["a b"]
    )
    split = rebuilt(file).pre_tokenizer.pre_tokenize_str(text)
    assert [text[first:last] for _, (first, last) in split] == wanted


# ---- what is refused, and what goes along


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"ggml__model": "t5"}, "tokenizer.ggml.model is t5, expected llama or gpt2"),
        ({}, "tokenizer.ggml.model is not there, expected llama or gpt2"),
        ({"ggml__model": "gpt2"}, "tokenizer.ggml.tokens is not there"),
        ({"ggml__model": "gpt2", "ggml__tokens": ["a"], "ggml__pre": "new"}, "tokenizer.ggml.pre is new, expected one"),
        ({"ggml__model": "gpt2", "ggml__tokens": ["a"]}, "tokenizer.ggml.merges is not there"),
        ({"ggml__model": "gpt2", "ggml__tokens": ["a"], "ggml__merges": ["a"]}, "a line that is no pair"),
        ({"ggml__model": "gpt2", "ggml__tokens": ["a", "a"], "ggml__merges": ["a a"]}, 'has "a" twice'),
        ({"ggml__model": "gpt2", "ggml__tokens": [1]}, "tokenizer.ggml.tokens must be an array of texts"),
        ({"ggml__model": "llama", "ggml__tokens": ["a"]}, "tokenizer.ggml.scores is not there"),
        ({"ggml__model": "llama", "ggml__tokens": ["a", "b"], "ggml__scores": [0.0]}, "scores has fewer items"),
        ({"ggml__model": "llama", "ggml__tokens": ["a", "b"], "ggml__token_type": [1]}, "token_type has fewer items"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_not_built_or_contradicts_itself_is_refused(keys: dict, reason: str, tmp_path: Path):
    model = read_gguf(write(tmp_path / "refused.gguf", **keys))
    with pytest.raises(ModelError) as caught:
        model.tokenizer()
    assert reason in str(caught.value)
    assert str(model.path) in str(caught.value)


def test_templates_special_tokens_and_ends_go_along(tmp_path: Path):
    file = write(
        tmp_path / "chat.gguf", ggml__model="gpt2", ggml__pre="gpt-2", ggml__merges=["a b"],
        ggml__tokens=["a", "b", "<s>", "<|im_end|>", "ab", "</s>", ""], ggml__bos_token_id=2, ggml__eos_token_id=5,
        ggml__add_bos_token=True, ggml__add_eos_token=True,
        chat_template="{{ bos_token }}{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}",
        chat_templates=["tool_use"], **{"chat_template.tool_use": "{{ tools }}"},
    )  # fmt: skip
    model = read_gguf(file)
    assert model.stop_ids == [3, 5]
    encoder = PromptEncoder.load(file)
    assert encoder.takes_tools
    text, chat = encoder.read_chat([{"role": "user", "content": "ab"}])
    assert (text, chat) == ("<s>ab<|im_end|>", [2, 4, 3])
    assert encoder.encode_text("aab") == [2, 0, 4, 5]
    assert encoder.vocabulary.decode([2, 4, 3]) == "ab"


def test_an_answers_parts_do_not_end_it(tmp_path: Path):
    """gpt-oss ends every part of an answer with <|end|>; where it is alone, it ends a turn."""
    keys = {"ggml__model": "gpt2", "ggml__merges": ["a b"]}
    harmony = ["a", "b", "<|end|>", "<|return|>", "<|call|>"]
    assert read_gguf(write(tmp_path / "one.gguf", ggml__tokens=harmony, **keys)).stop_ids == [3, 4]
    assert read_gguf(write(tmp_path / "two.gguf", ggml__tokens=harmony[:3], **keys)).stop_ids == [2]
