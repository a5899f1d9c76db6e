"""Texts to ids within the context. Judge: the ids that transformers recorded (tests/data/tokenizer)."""

import json
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from penstock.errors import ApiError, ModelError
from penstock.prompt import PromptEncoder, check_prompt_length, clamp_max_tokens

DATA = Path(__file__).parents[1] / "data/tokenizer"
CASES = [case for case in json.loads((DATA / "tokenizer_cases.json").read_text()) if case["kind"] == "encode"]
MESSAGES = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def encoder() -> PromptEncoder:
    return PromptEncoder.load(DATA)


def test_ids_equal_transformers(encoder: PromptEncoder) -> None:
    for case in CASES:
        if case["add_special_tokens"]:
            assert encoder.encode_text(case["text"]) == case["ids"], case["name"]
        else:
            assert encoder.count(case["text"]) == len(case["ids"]), case["name"]


def test_vocabulary_gives_the_text_back(encoder: PromptEncoder) -> None:
    for case in CASES:
        assert encoder.vocabulary.decode(case["ids"], skip_special=True) == case["decoded_skip_special"], case["name"]


def test_a_prompt_must_leave_room_for_an_answer(encoder: PromptEncoder) -> None:
    length = len(encoder.encode_text("one two three"))
    encoder.max_model_len = length + 1
    assert len(encoder.encode_text("one two three")) == length
    encoder.max_model_len = length
    with pytest.raises(ApiError) as caught:
        encoder.encode_text("one two three")
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "prompt")
    assert f"maximum context length is {length} tokens" in caught.value.message
    with pytest.raises(ApiError) as caught:
        encoder.encode_chat(MESSAGES * 20)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "messages")


@pytest.mark.parametrize("text", ["a" * 10_000_000, " " * 10_000_000, "water and stones " * 600_000, "é🙂" * 2_000_000])
@pytest.mark.parametrize("max_model_len", [512, 100_000])
def test_an_oversize_text_is_refused_without_encoding_it_whole(
    encoder: PromptEncoder, text: str, max_model_len: int
) -> None:
    encoder.max_model_len = max_model_len
    began = time.perf_counter()
    with pytest.raises(ApiError, match=f"maximum context length is {max_model_len} tokens"):
        encoder.encode_text(text)
    assert time.perf_counter() - began < 2


def test_more_messages_than_tokens_are_refused_without_rendering_them(encoder: PromptEncoder) -> None:
    encoder.max_model_len = 512
    began = time.perf_counter()
    with pytest.raises(ApiError, match="maximum context length is 512 tokens"):
        encoder.encode_chat(MESSAGES * 300_000)
    assert time.perf_counter() - began < 1


def test_no_text_that_fits_is_refused(encoder: PromptEncoder) -> None:
    """The longest texts for their tokens: the bounds by bytes and by heads must let them through."""
    longest = max((t for t in encoder.tokenizer.get_vocab() if t.isascii()), key=len)
    for text in (longest * 40, (" " + longest) * 40, " " * 300, "Query thread vector river copper orbit." * 10):
        encoder.max_model_len = None
        ids = encoder.encode_text(text)
        encoder.max_model_len = len(ids) + 1
        assert encoder.encode_text(text) == ids


def test_encoding_from_many_threads_leaves_the_gil_free(encoder: PromptEncoder) -> None:
    text, done, beats = "The river runs past the mill. " * 4000, threading.Event(), []
    ids = encoder.encode_text(text)

    def beat() -> None:
        while not done.wait(0.002):
            beats.append(time.perf_counter())

    ticker = threading.Thread(target=beat)
    ticker.start()
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(encoder.encode_text, [text] * 8))
    done.set()
    ticker.join()
    assert all(result == ids for result in results)
    assert len(beats) > 5


def test_a_model_without_a_template_says_so_to_chats(tmp_path: Path) -> None:
    shutil.copy(DATA / "tokenizer.json", tmp_path)
    encoder = PromptEncoder.load(tmp_path)
    assert not encoder.has_chat_template
    assert encoder.encode_text("Hi")[0] == 1272
    with pytest.raises(ApiError, match="no chat template") as caught:
        encoder.encode_chat(MESSAGES)
    assert (caught.value.status, caught.value.param) == (400, "messages")


def test_a_token_that_the_model_does_not_know_is_refused_by_name() -> None:
    """A tokenizer may have gained tokens that the embedding has no rows for."""
    encoder = PromptEncoder.load(DATA, vocab_size=1273)
    assert encoder.encode_text("hello")
    with pytest.raises(ApiError, match=r"'messages' holds the token 1275 \('<\|im_end\|>'\); .* from 0 to 1272"):
        encoder.encode_chat(MESSAGES)
    with pytest.raises(ApiError, match="'prompt' holds the token 2000"):
        encoder.check_ids([1, 2000])
    assert PromptEncoder.load(DATA, vocab_size=5000).vocab_size == 1280


def test_special_tokens_are_strings_however_they_are_written(tmp_path: Path) -> None:
    shutil.copy(DATA / "tokenizer.json", tmp_path)
    config = {"bos_token": {"content": "<|bos|>"}, "eos_token": None, "chat_template": "{{ bos_token }}{{ eos_token }}"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "special_tokens_map.json").write_text('{"eos_token": "<|eos|>", "bos_token": "no"}')
    assert PromptEncoder.load(tmp_path).render_chat(MESSAGES) == "<|bos|>"


def test_truncation_of_the_file_is_off(tmp_path: Path) -> None:
    data = json.loads((DATA / "tokenizer.json").read_text())
    data["truncation"] = {"max_length": 4, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    (tmp_path / "tokenizer.json").write_text(json.dumps(data))
    assert len(PromptEncoder.load(tmp_path).encode_text("one two three four five six")) > 4


@pytest.mark.parametrize("content", [None, b"", b"{", b"{}", b'{"model": {"type": "Martian"}}', b"\xff\x00"])
def test_a_missing_or_broken_tokenizer_is_a_model_error(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(ModelError, match=r"tokenizer\.json") as caught:
        PromptEncoder.load(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_broken_tokenizer_config_is_a_model_error(tmp_path: Path, content: str) -> None:
    shutil.copy(DATA / "tokenizer.json", tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(content)
    with pytest.raises(ModelError, match=r"tokenizer_config\.json"):
        PromptEncoder.load(tmp_path)


@pytest.mark.parametrize("bos_token", ["<|im_end|>", "no such token", None])
def test_an_empty_text_is_the_start_token(tmp_path: Path, bos_token: str | None) -> None:
    data = json.loads((DATA / "tokenizer.json").read_text()) | {"post_processor": None}  # which adds one by itself
    (tmp_path / "tokenizer.json").write_text(json.dumps(data))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"bos_token": bos_token}))
    encoder = PromptEncoder.load(tmp_path)
    if bos_token == "<|im_end|>":
        assert encoder.encode_text("") == [1275]
    else:
        with pytest.raises(ApiError, match="at least one token") as caught:
            encoder.encode_text("")
        assert (caught.value.kind, caught.value.param) == ("invalid_value", "prompt")


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(ApiError) as caught:
        check_prompt_length([], 100)
    assert (caught.value.kind, caught.value.param) == ("invalid_value", "prompt")


@pytest.mark.parametrize(
    ("asked", "default", "given"), [(None, None, 90), (None, 16, 16), (5, 16, 5), (500, None, 90), (None, 500, 90)]
)
def test_new_tokens_fit_the_room(asked: int | None, default: int | None, given: int) -> None:
    room: dict[str, Any] = {"num_prompt_tokens": 10, "max_model_len": 100}
    assert clamp_max_tokens(asked, default=default, **room) == given
