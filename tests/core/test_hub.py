"""A hub from Python: streamed text against `tokenizers`, and the hub's own promises."""

import json
import time
from array import array
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_files import DECODERS, tokenizer_json
from tokenizers import Tokenizer

from penstock._core import (
    DONE,
    END_ERROR,
    END_LENGTH,
    END_NONE,
    END_STOP,
    PING,
    Hub,
    Metrics,
    ModelMetrics,
    Opening,
    Vocabulary,
)
from penstock.output_options import OutputOptions


@cache
def parts(decoder: str) -> tuple[Tokenizer, Vocabulary, Hub, ModelMetrics]:
    text = tokenizer_json(DECODERS[decoder])
    vocabulary, metrics = Vocabulary.from_json(text.encode()), Metrics().model("m")
    return Tokenizer.from_str(text), vocabulary, Hub(vocabulary, metrics), metrics


def open_stream(hub: Hub, **changes: Any) -> int:
    fields: dict[str, Any] = {
        "dialect": "completions", "response_id": "cmpl-0", "model": "m", "created": 1, "is_streamed": True,
        "num_choices": 1, "prompt_tokens": 2, "max_tokens": 9, "request_id": "req_0", "arrival": time.monotonic(),
    }  # fmt: skip
    return hub.open(Opening(**(fields | changes)))


def push(hub: Hub, key: int, ids: list[int], end: int = END_NONE) -> list[int]:
    gauges = {"num_running": 1, "num_waiting": 2, "num_pages_in_use": 3}
    output = SimpleNamespace(ids=array("i", ids), ends=bytes([end]))
    return hub.push_step(array("Q", [key]), output, **gauges)


def events(frames: bytes) -> list[Any]:
    assert not frames or frames.endswith(b"\n\n")
    data = [frame.removeprefix(b"data: ") for frame in frames.split(b"\n\n")[:-1]]
    return [json.loads(event) if event != b"[DONE]" else None for event in data]


def text_of(frames: bytes) -> str:
    return "".join(choice["text"] for event in events(frames) if event for choice in event["choices"])


@pytest.mark.parametrize("decoder", DECODERS)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_streamed_text_joins_to_what_tokenizers_decodes(decoder: str, data: st.DataObject) -> None:
    judge, vocabulary, hub, metrics = parts(decoder)
    rows = data.draw(st.lists(st.lists(st.integers(0, len(vocabulary) + 2), min_size=1, max_size=5), max_size=6))
    key = open_stream(hub)
    sent = ""
    for row in rows:
        push(hub, key, row)
        frames, status, _ = hub.take(key)
        sent += text_of(frames)
        assert status == 0
    push(hub, key, [], END_LENGTH)
    frames, status, _ = hub.take(key)
    assert sent + text_of(frames) == judge.decode([token for row in rows for token in row])
    assert (status, frames.endswith(DONE), metrics.get("penstock_streams_open")) == (200, True, 0)


def test_golden_prefixes_are_sent_as_soon_as_they_stand(golden_tokenizer: Path) -> None:
    hub = Hub(Vocabulary.from_json((golden_tokenizer / "tokenizer.json").read_bytes()), Metrics().model("m"))
    cases = json.loads((golden_tokenizer / "tokenizer_cases.json").read_text())
    cases = [case for case in cases if case["kind"] == "decode"]
    assert cases
    for case in cases:
        key, sent = open_stream(hub), ""
        for token, prefix in zip(case["ids"], case["decoded_prefixes"], strict=True):
            push(hub, key, [token])
            sent += text_of(hub.take(key)[0])
            if case["decoded"] == case["decoded_skip_special"]:
                assert prefix.startswith(sent), case["name"]
                assert sent.startswith(prefix.rstrip("\ufffd")), case["name"]
        push(hub, key, [], END_STOP)
        assert sent + text_of(hub.take(key)[0]) == case["decoded_skip_special"], case["name"]


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.sampled_from('ab\n"é\\'), max_size=30), stop=st.lists(st.text("ab\n", min_size=1, max_size=3)))
def test_plain_and_streamed_answers_are_the_same(text: str, stop: list[str]) -> None:
    _, vocabulary, hub, _ = parts("gemma")
    ids = list(text.encode())
    answers = []
    for streamed in (True, False):
        key = open_stream(hub, is_streamed=streamed, stop=stop, include_usage=True)
        for token in ids:
            push(hub, key, [token])
        push(hub, key, [], END_LENGTH)
        body, status, _ = hub.take(key)
        assert status == 200
        if streamed:
            *some, usage, end = events(body)
            answers.append((text_of(body), some[-1]["choices"][0]["finish_reason"], usage["usage"]))
            assert end is None
        else:
            answer = json.loads(body)
            answers.append((*(answer["choices"][0][name] for name in ("text", "finish_reason")), answer["usage"]))
    assert answers[0] == answers[1]
    assert answers[0][0] == cut(vocabulary.decode(ids), stop)


def cut(text: str, stop: list[str]) -> str:
    """The obvious way: grow the text and look at its end."""
    for end in range(len(text) + 1):
        found = [string for string in stop if text[:end].endswith(string)]
        if found:
            return text[: end - max(map(len, found))]
    return text


def test_wrong_buffers_are_refused() -> None:
    _, _, hub, _ = parts("gemma")
    gauges = {"num_running": 0, "num_waiting": 0, "num_pages_in_use": 0}
    for keys, ids, ends in [
        (array("i", [1]), array("i", [1]), b"\0"),
        (array("Q", [1]), array("q", [1]), b"\0"),
        (array("Q", [1, 2]), array("i", [1, 2, 3]), b"\0\0"),
        (array("Q", [1]), array("i", [1]), b"\0\0"),
        (array("Q", [1]), array("i", [1]), b"\x07"),
    ]:
        with pytest.raises(ValueError, match=r"keys|ids|end"):
            hub.push_step(keys, SimpleNamespace(ids=ids, ends=ends), **gauges)
    assert hub.push_step(array("Q"), SimpleNamespace(ids=array("i"), ends=b""), **gauges) == []


def test_unknown_rows_and_errors_are_told() -> None:
    _, _, hub, _ = parts("gemma")
    key = open_stream(hub, is_streamed=False)
    assert push(hub, 5 << 50, [1]) == [5 << 50]
    with pytest.raises(KeyError):
        hub.fail(key, "no_such_error", "")
    for wrong in ({"num_choices": 0}, {"num_choices": 4097}, {"dialect": "chats"}, {"keep_alive_s": 0.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            open_stream(hub, **wrong)
    assert hub.fail(key, "engine_error", "it broke")
    assert not hub.fail(key, "engine_error", "it broke")
    body, status, _ = hub.take(key)
    error = json.loads(body)
    assert (status, error["error"]["message"], error["request_id"]) == (500, "it broke", "req_0")
    assert hub.take(key) == (b"", 499, None)


def test_times_are_those_of_the_monotonic_clock() -> None:
    _, vocabulary, *_ = parts("gemma")
    metrics = Metrics()
    hub = Hub(vocabulary, metrics.model("m"))
    key = open_stream(hub, arrival=time.monotonic() - 5)
    push(hub, key, [97], END_LENGTH)
    first_token = [line for line in metrics.render().splitlines() if line.startswith(b"vllm:time_to_first_token_sec")]
    seconds = float(next(line for line in first_token if b"_sum" in line).rsplit(b" ", 1)[1])
    assert 5 <= seconds < 6
    assert hub.take(key)[1] == 200


def test_pings_reach_idle_streams() -> None:
    _, vocabulary, *_ = parts("gemma")
    hub = Hub(vocabulary, Metrics().model("m"))
    key = open_stream(hub, keep_alive_s=1e-9)
    others = [open_stream(hub, keep_alive_s=seconds) for seconds in (60.0, None)]
    assert hub.ping_idle()
    assert hub.take_ready() == [key], "each stream by its own limit"
    assert hub.take(key) == (PING, 0, None)
    assert all(map(hub.cancel, [key, *others]))
    assert hub.cancel(key) is None
    assert hub.num_open == 0


@settings(max_examples=100, deadline=None)
@given(
    ids=st.lists(st.sampled_from([*b'ab\n"', *"\u00e9\U0001f642".encode()]), max_size=30),
    stop=st.lists(st.text("ab\n", min_size=1, max_size=3), max_size=2),
    widths=st.lists(st.integers(1, 4), min_size=30, max_size=30),
)
def test_deltas_have_every_token_that_the_wire_counts(ids: list[int], stop: list[str], widths: list[int]) -> None:
    _, vocabulary, hub, _ = parts("gemma")
    wire, plain, deltas = (
        open_stream(hub, dialect=dialect, is_streamed=is_streamed, stop=stop, include_usage=True)
        for dialect, is_streamed in (("completions", True), ("deltas", False), ("deltas", True))
    )
    rows, status = [], 0
    rest = list(ids)
    for width in widths:
        for key in (wire, plain, deltas):
            push(hub, key, rest[:width])
        del rest[:width]
        rows += hub.take_deltas(deltas)[0] if not status else []
    for key in (wire, plain, deltas):
        push(hub, key, [], END_LENGTH)
    more, _, error = hub.take_deltas(deltas)
    rows += more
    assert error is None
    frames, _, receipt = hub.take(wire)
    *some, usage, _ = events(frames)
    counted = usage["usage"]["completion_tokens"]
    assert "".join(row[2] for row in rows) == text_of(frames) == cut(vocabulary.decode(ids), stop)
    assert sum(row[3] for row in rows) == counted
    assert [row[4] for row in rows if row[4]] == [some[-1]["choices"][0]["finish_reason"]]
    assert receipt is not None
    assert receipt.completion_tokens == counted
    whole, status, error = hub.take_deltas(plain)
    assert (whole, status, error) == ([(0, "text", text_of(frames), counted, rows[-1][4], 0, "")], 200, None)


def test_deltas_tell_an_error_in_its_own_words() -> None:
    _, _, hub, _ = parts("gemma")
    key = open_stream(hub, dialect="deltas")
    hub.push_text(key, "a", num_tokens=1)
    hub.fail(key, "context_length_exceeded", "too long", param="prompt")
    deltas, status, error = hub.take_deltas(key)
    assert (deltas, status) == ([(0, "text", "a", 1, None, 0, "")], 400)
    assert error == ("context_length_exceeded", "too long", "prompt")
    wire = open_stream(hub)
    with pytest.raises(ValueError, match="completions"):
        hub.take_deltas(wire)
    assert hub.cancel(wire)


def test_a_row_that_is_not_a_number_fails_alone() -> None:
    _, _, hub, metrics = parts("gemma")
    broken, other = open_stream(hub, is_streamed=False), open_stream(hub, is_streamed=False)
    before = metrics.get('vllm:request_success_total{finished_reason="error"}')
    output = SimpleNamespace(ids=array("i", [-1, 97]), ends=bytes([END_ERROR, END_LENGTH]), logprobs=None)
    gauges = {"num_running": 0, "num_waiting": 0, "num_pages_in_use": 0}
    assert hub.push_step(array("Q", [broken, other]), output, **gauges) == []
    body, status, receipt = hub.take(broken)
    assert (json.loads(body)["error"]["code"], status) == ("engine_error", 500)
    assert receipt is not None
    assert (receipt.finish_reason, receipt.error) == ("error", "engine_error")
    assert text_of_body(hub.take(other)) == "a"
    assert metrics.get('vllm:request_success_total{finished_reason="error"}') == before + 1


def text_of_body(taken: tuple[bytes, int, Any]) -> str:
    assert taken[1] == 200
    text: str = json.loads(taken[0])["choices"][0]["text"]
    return text


def test_a_receipt_tells_what_the_stream_came_to() -> None:
    _, _, hub, _ = parts("gemma")
    key = open_stream(hub, dialect="chat", num_choices=2, arrival=time.monotonic() - 5)
    assert hub.take(key)[2] is None
    push(hub, key, [97], END_LENGTH)
    left = hub.cancel(key)
    assert left is not None
    assert (left.prompt_tokens, left.completion_tokens, left.finish_reason) == (2, 1, "length")
    assert left.error is None
    assert left.time_to_first_token_s is not None
    assert 5 <= left.time_to_first_token_s < 6
    waiting = hub.cancel(open_stream(hub))
    assert waiting is not None
    assert (waiting.time_to_first_token_s, waiting.finish_reason) == (None, "abort")


def logprobs_of(num_tokens: int, num_top: int = 2) -> SimpleNamespace:
    """Columns for so many tokens: the place is the number, and the likeliest are the tokens 0, 1, ..."""
    return SimpleNamespace(
        sampled=array("f", [-float(place) for place in range(num_tokens)]),
        top_ids=array("i", list(range(num_top)) * num_tokens),
        top=array("f", [-0.5] * num_top * num_tokens),
    )


def test_logprobs_of_a_step_and_of_a_prompt_are_told() -> None:
    _, vocabulary, hub, _ = parts("byte level")
    asked = OutputOptions(logprobs=1, echo=True)
    prompts: list[tuple[list[int], str | None]] = [([65, 66, 67], None)]
    key = open_stream(hub, is_streamed=False, output=asked, prompts=prompts)
    columns = SimpleNamespace(row_key=key, start=0, **vars(logprobs_of(2)))
    gauges = {"num_running": 1, "num_waiting": 0, "num_pages_in_use": 0}
    output = SimpleNamespace(
        ids=array("i", [68, 69]), ends=bytes([END_LENGTH]), logprobs=logprobs_of(2), prompt_columns=(columns,)
    )
    hub.push_step(array("Q", [key]), output, **gauges)
    choice = json.loads(hub.take(key)[0])["choices"][0]
    assert choice["logprobs"]["token_logprobs"] == [None, 0.0, -1.0, 0.0, -1.0]
    assert choice["text"] == vocabulary.decode([65, 66, 67, 68, 69])


@pytest.mark.parametrize(
    "columns",
    [
        {"logprobs": logprobs_of(3)},
        {"logprobs": SimpleNamespace(**vars(logprobs_of(2)) | {"top": array("f", [0.0])})},
        {"prompt_columns": (SimpleNamespace(row_key=1, start=0, **vars(logprobs_of(2)) | {"top": array("f")}),)},
        {"logprobs": SimpleNamespace(**vars(logprobs_of(2)) | {"sampled": array("d", [0.0, 0.0])})},
    ],
)
def test_logprobs_that_do_not_fit_are_refused(columns: dict[str, Any]) -> None:
    _, _, hub, _ = parts("byte level")
    key = open_stream(hub)
    output = SimpleNamespace(ids=array("i", [1, 2]), ends=bytes([END_NONE]), **columns)
    with pytest.raises(ValueError, match=r"fit|sampled"):
        hub.push_step(array("Q", [key]), output, num_running=1, num_waiting=0, num_pages_in_use=0)
    assert hub.cancel(key)
