"""A hub from Python: streamed text against `tokenizers`, and the hub's own promises."""

import json
import time
from array import array
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_files import DECODERS, tokenizer_json
from tokenizers import Tokenizer

from penstock._core import DONE, END_LENGTH, END_NONE, END_STOP, PING, Hub, Metrics, Vocabulary


@cache
def parts(decoder: str) -> tuple[Tokenizer, Vocabulary, Hub, Metrics]:
    text = tokenizer_json(DECODERS[decoder])
    vocabulary, metrics = Vocabulary.from_json(text.encode()), Metrics("m")
    return Tokenizer.from_str(text), vocabulary, Hub(vocabulary, metrics), metrics


def open_stream(hub: Hub, **changes: Any) -> int:
    fields: dict[str, Any] = {
        "response_id": "cmpl-0", "model": "m", "created": 1, "chat": False, "streamed": True, "num_choices": 1,
        "include_usage": False, "stop": [], "prompt_tokens": 2, "max_tokens": 9, "request_id": "req_0",
        "arrival": time.monotonic(),
    }  # fmt: skip
    return hub.open(**(fields | changes))


def push(hub: Hub, key: int, ids: list[int], end: int = END_NONE) -> list[int]:
    gauges = {"num_running": 1, "num_waiting": 2, "num_pages_in_use": 3}
    return hub.push_step(array("Q", [key]), array("i", ids), bytes([end]), **gauges)


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
        frames, status = hub.take(key)
        sent += text_of(frames)
        assert status == 0
    push(hub, key, [], END_LENGTH)
    frames, status = hub.take(key)
    assert sent + text_of(frames) == judge.decode([token for row in rows for token in row])
    assert (status, frames.endswith(DONE), metrics.get("penstock_streams_open")) == (200, True, 0)


def test_golden_prefixes_are_sent_as_soon_as_they_stand(golden_tokenizer: Path) -> None:
    hub = Hub(Vocabulary.from_json((golden_tokenizer / "tokenizer.json").read_bytes()), Metrics("m"))
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
        key = open_stream(hub, streamed=streamed, stop=stop, include_usage=True)
        for token in ids:
            push(hub, key, [token])
        push(hub, key, [], END_LENGTH)
        body, status = hub.take(key)
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
            hub.push_step(keys, ids, ends, **gauges)
    assert hub.push_step(array("Q"), array("i"), b"", **gauges) == []


def test_unknown_rows_and_errors_are_told() -> None:
    _, _, hub, _ = parts("gemma")
    key = open_stream(hub, streamed=False)
    assert push(hub, 5 << 50, [1]) == [5 << 50]
    with pytest.raises(KeyError):
        hub.fail(key, "no_such_error", "")
    with pytest.raises(ValueError, match="num_choices"):
        open_stream(hub, num_choices=0)
    assert hub.fail(key, "engine_error", "it broke")
    assert not hub.fail(key, "engine_error", "it broke")
    body, status = hub.take(key)
    error = json.loads(body)
    assert (status, error["error"]["message"], error["request_id"]) == (500, "it broke", "req_0")
    assert hub.take(key) == (b"", 499)


def test_times_are_those_of_the_monotonic_clock() -> None:
    _, vocabulary, *_ = parts("gemma")
    metrics = Metrics("m")
    hub = Hub(vocabulary, metrics)
    key = open_stream(hub, arrival=time.monotonic() - 5)
    push(hub, key, [97], END_LENGTH)
    first_token = [line for line in metrics.render().splitlines() if line.startswith(b"vllm:time_to_first_token_sec")]
    seconds = float(next(line for line in first_token if b"_sum" in line).rsplit(b" ", 1)[1])
    assert 5 <= seconds < 6
    assert hub.take(key)[1] == 200


def test_pings_reach_idle_streams() -> None:
    _, vocabulary, *_ = parts("gemma")
    hub = Hub(vocabulary, Metrics("m"))
    key = open_stream(hub)
    assert not hub.ping_idle(60)
    assert hub.ping_idle(0)
    assert hub.take_ready() == [key]
    assert hub.take(key) == (PING, 0)
    assert hub.cancel(key)
    assert not hub.cancel(key)
    assert hub.num_open == 0
