"""A closed-loop SSE load client that costs little: it stamps what arrives and parses it after the clock has stopped.

Knows HTTP/1.1 chunked bodies and OpenAI's events; knows nothing of the server it loads.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import orjson
import uvloop


@dataclass(slots=True)
class Answer:
    """One streamed answer, as it arrived: (seconds, bytes) of every read, and the moment the request was written."""

    sent_s: float
    reads: list[tuple[float, bytes]] = field(default_factory=list)


@dataclass(slots=True)
class Stream:
    """One answer after parsing: arrival time of every content event, their joined text, and how it ended."""

    ttft_s: float
    event_times_s: list[float]
    text: str
    finish_reason: str | None
    saw_done: bool


class Connection(asyncio.Protocol):
    """One keep-alive connection, one request at a time. Attributes: answer: of the last request, as far as it came."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self.answer: Answer | None = None
        self._done: asyncio.Future[Answer] | None = None
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by shape only

    def data_received(self, data: bytes) -> None:
        answer = self.answer
        assert answer is not None, "bytes without a request"
        answer.reads.append((time.perf_counter(), data))
        self._tail = (self._tail + data)[-7:]
        if self._tail.endswith(b"\r\n0\r\n\r\n"):
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(ConnectionError(f"closed in mid-answer: {exc}"))

    def request(self, raw: bytes) -> asyncio.Future[Answer]:
        assert self._transport is not None, "request before connect"
        if self._transport.is_closing():
            self.answer = Answer(time.perf_counter())
            raise ConnectionError("closed since the last answer")
        self._done = asyncio.get_running_loop().create_future()
        self.answer = Answer(time.perf_counter())
        self._tail = b""
        self._transport.write(raw)
        return self._done

    def close(self) -> None:
        """What is under way is given up."""
        if self._done is not None:
            self._done.cancel()
        if self._transport is not None:
            self._transport.close()

    def _finish(self) -> None:
        if self._done is not None and self.answer is not None and not self._done.done():
            self._done.set_result(self.answer)


async def connect(url: str) -> Connection:
    """A connection to the host of `url`."""
    parts = urlsplit(url)
    _, connection = await asyncio.get_running_loop().create_connection(Connection, parts.hostname, parts.port)
    return connection


def request_bytes(url: str, body: dict[str, object], *, api_key: str | None = None) -> bytes:
    """A POST with `body` as JSON, complete with its head."""
    parts, raw = urlsplit(url), orjson.dumps(body)
    head = f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
    if api_key is not None:
        head += f"x-api-key: {api_key}\r\n"
    return head.encode() + f"content-length: {len(raw)}\r\n\r\n".encode() + raw


def parse(answer: Answer) -> Stream:
    """Undoes the chunked coding and reads the events. Raises AssertionError with the head on any other status."""
    body, head = bytearray(), b""
    times: list[tuple[int, float]] = []
    raw = b"".join(data for _, data in answer.reads)
    head, _, rest = raw.partition(b"\r\n\r\n")
    assert b" 200 " in head.split(b"\r\n", 1)[0] + b" ", raw[:400]
    ends: list[tuple[int, float]] = []
    total = 0
    for at, data in answer.reads:
        total += len(data)
        ends.append((total - len(head) - 4, at))
    position, read = 0, 0
    while True:
        line = rest.index(b"\r\n", position)
        size = int(rest[position:line].split(b";")[0], 16)
        if size == 0:
            break
        chunk_end = line + 2 + size
        body += rest[line + 2 : chunk_end]
        while ends[read][0] < chunk_end:
            read += 1
        times.append((len(body), ends[read][1]))
        position = chunk_end + 2
    return _read_events(answer, bytes(body), times)


def _read_events(answer: Answer, body: bytes, times: list[tuple[int, float]]) -> Stream:
    stream = Stream(0.0, [], "", None, saw_done=False)
    pieces: list[str] = []
    position, read = 0, 0
    for event in body.split(b"\n\n"):
        position += len(event) + 2
        while read < len(times) - 1 and times[read][0] < position:
            read += 1
        if event == b"data: [DONE]":
            stream.saw_done = True
        if not event.startswith(b"data: {"):
            continue
        for choice in orjson.loads(event[6:])["choices"]:
            text = choice["delta"].get("content") if "delta" in choice else choice["text"]
            stream.finish_reason = choice["finish_reason"] or stream.finish_reason
            if text:
                pieces.append(text)
                stream.event_times_s.append(times[read][1])
    stream.text = "".join(pieces)
    stream.ttft_s = (stream.event_times_s or [float("nan")])[0] - answer.sent_s
    return stream


async def _run(url: str, bodies: list[dict[str, object]], concurrency: int) -> tuple[list[Answer], float]:
    queue = [request_bytes(url, body) for body in reversed(bodies)]
    answers: list[Answer] = []

    async def worker() -> None:
        connection = await connect(url)
        while queue:
            raw = queue.pop()
            try:
                answers.append(await asyncio.wait_for(connection.request(raw), 300))
            except ConnectionError:  # llama.cpp drops a kept connection between answers, unsaid
                if connection.answer is None or connection.answer.reads:
                    raise
                connection = await connect(url)
                answers.append(await asyncio.wait_for(connection.request(raw), 300))
        connection.close()

    started = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    return answers, time.perf_counter() - started


def run(url: str, bodies: list[dict[str, object]], concurrency: int) -> tuple[list[Stream], float]:
    """Sends `bodies`, `concurrency` at a time; returns the parsed streams and the wall seconds of the load itself."""
    answers, wall_s = uvloop.run(_run(url, bodies, concurrency))
    return [parse(answer) for answer in answers], wall_s


async def _run_plain(url: str, body: dict[str, object], count: int, concurrency: int) -> None:
    parts, raw = urlsplit(url), request_bytes(url, body)
    left = count

    async def worker() -> None:
        nonlocal left
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        while left > 0:
            left -= 1
            writer.write(raw)
            head = await reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in head.split(b"\r\n", 1)[0], head
            length = next(h for h in head.lower().split(b"\r\n") if h.startswith(b"content-length:"))
            await reader.readexactly(int(length.split(b":")[1]))
        writer.close()

    await asyncio.gather(*(worker() for _ in range(concurrency)))


def run_plain(url: str, body: dict[str, object], *, count: int, concurrency: int) -> None:
    """`count` plain requests, `concurrency` at a time; AssertionError on any status but 200."""
    uvloop.run(_run_plain(url, body, count, concurrency))
