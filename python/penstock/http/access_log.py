"""A line per request, in the log "penstock.access": what was asked, how it ended, what it took. Never what was said.

The event loop only hands an entry over; a thread of its own writes, so that a slow terminal or disk holds nobody up.
"""

from __future__ import annotations

import logging
import sys
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import Any, Literal

import orjson

from penstock import _core

Style = Literal["text", "json", "off"]

logger = logging.getLogger("penstock.access")

#: Entries that may wait to be written; beyond it they are counted, and their number is written.
_MAX_WAITING = 8192
#: Entries are written together: the thread wants the interpreter at most this often.
_INTERVAL_S = 0.05
_STOP_WAIT_S = 2.0


@dataclass(frozen=True, slots=True)
class AccessEntry:
    """One request that is over.

    Attributes:
        ended: Unix seconds.
        route: the path's template, "none" where no route has the path.
        status: of the answer's end, which for a stream may be worse than what its head said; 499: the client left.
        seconds: from the request's head to the answer's end.
        api_key_id: of the key it came with, "" without keys.
        traceparent: the header of that name (W3C Trace Context), where it came with one.
        receipt: what its generation came to; None where there was none.
    """

    ended: float
    method: str
    route: str
    status: int
    seconds: float
    request_id: str
    api_key_id: str
    receipt: _core.Receipt | None
    traceparent: str | None = None

    @property
    def trace_id(self) -> str | None:
        """Of the trace that the request belongs to, 32 hexadecimal digits."""
        return None if self.traceparent is None else self.traceparent.split("-")[1]


def as_text(entry: AccessEntry) -> str:
    """`POST /v1/completions 200 0.512s prompt=3 completion=16 first=0.101s finish=stop id=req_…`."""
    words = [entry.method, entry.route, str(entry.status), f"{entry.seconds:.3f}s"]
    if (receipt := entry.receipt) is not None:
        words += [f"prompt={receipt.prompt_tokens}", f"completion={receipt.completion_tokens}"]
        if receipt.cached_tokens:
            words.append(f"cached={receipt.cached_tokens}")
        if receipt.time_to_first_token_s is not None:
            words.append(f"first={receipt.time_to_first_token_s:.3f}s")
        words.append(f"finish={receipt.finish_reason or 'none'}")
        if receipt.num_malformed_calls:
            words.append(f"malformed_tool_calls={receipt.num_malformed_calls}")
    words.append(f"id={entry.request_id}")
    if entry.api_key_id:
        words.append(f"key={entry.api_key_id}")
    if entry.trace_id is not None:
        words.append(f"trace={entry.trace_id}")
    return " ".join(words)


def as_json(entry: AccessEntry) -> str:
    """One object on one line; the fields of a generation are null where there was none."""
    receipt = entry.receipt
    fields: dict[str, Any] = {
        "time": datetime.fromtimestamp(entry.ended, UTC).isoformat(timespec="milliseconds"),
        "method": entry.method,
        "route": entry.route,
        "status": entry.status,
        "duration_s": round(entry.seconds, 6),
        "prompt_tokens": receipt and receipt.prompt_tokens,
        "cached_tokens": receipt and receipt.cached_tokens,
        "completion_tokens": receipt and receipt.completion_tokens,
        "time_to_first_token_s": receipt and receipt.time_to_first_token_s,
        "finish_reason": receipt and receipt.finish_reason,
        "malformed_tool_calls": receipt and receipt.num_malformed_calls,
        "request_id": entry.request_id,
        "api_key_id": entry.api_key_id or None,
        "trace_id": entry.trace_id,
    }
    return orjson.dumps(fields).decode()


class AccessLog:
    """Writes entries between `start` and `stop`; before and after, and when off, they are dropped.

    As text, lines go where the rest of the log goes. As JSON they go to stdout and are nothing but JSON, unless the
    logger "penstock.access" has handlers of somebody's own.
    """

    def __init__(self) -> None:
        self._waiting: SimpleQueue[AccessEntry | None] = SimpleQueue()  # None: the end
        self._num_lost = 0
        self._is_stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._format = as_text

    def start(self, style: Style) -> None:
        """Idempotent."""
        if style == "off" or self._thread is not None:
            return
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)  # whether there are lines is said by the style, not by the log's level
        if style == "json":
            self._format = as_json
            if not logger.handlers:
                logger.addHandler(logging.StreamHandler(sys.stdout))
            logger.propagate = False
        self._is_stopping.clear()
        self._thread = threading.Thread(target=self._write, name="penstock-access", daemon=True)
        self._thread.start()

    @property
    def is_on(self) -> bool:
        """Whether an entry is written."""
        return self._thread is not None

    def add(self, entry: AccessEntry) -> None:
        """Hands an entry over. Never blocks."""
        if self._thread is None:
            return
        if self._waiting.qsize() < _MAX_WAITING:
            self._waiting.put(entry)
        else:
            self._num_lost += 1

    def stop(self) -> None:
        """Writes what waits. Blocks for at most two seconds. Idempotent."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._is_stopping.set()
            self._waiting.put(None)
            thread.join(_STOP_WAIT_S)

    def _write(self) -> None:
        while (entry := self._waiting.get()) is not None:
            # Not `logger.info`, which walks up the stack for the line that called it: half of what a line costs.
            if logger.isEnabledFor(logging.INFO):
                logger.handle(logging.LogRecord(logger.name, logging.INFO, "", 0, self._format(entry), None, None))
            if self._waiting.empty():
                self._tell_lost()
                self._is_stopping.wait(_INTERVAL_S)
        self._tell_lost()

    def _tell_lost(self) -> None:
        if num_lost := self._num_lost:
            self._num_lost -= num_lost
            logger.warning("%d requests are not in this log: they came faster than it could be written", num_lost)
