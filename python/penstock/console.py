"""What the operator sees on stderr: one line per log record and, on a terminal, one line of progress below them."""

from __future__ import annotations

import logging
import re
import sys
from typing import TextIO

_CLEAR = "\r\x1b[K"
_BAR_CELLS = 24
_SHARE = re.compile(r"(\d+)/(\d+)")


class Console(logging.StreamHandler[TextIO]):
    """A log handler that keeps a line of progress below the log, on terminals only."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._is_terminal = stream.isatty()
        self._progress = ""
        self.setFormatter(_Formatter("%(asctime)s %(levelname)-7s %(room)s: %(message)s", "%H:%M:%S"))

    def emit(self, record: logging.LogRecord) -> None:
        self._write(_CLEAR if self._progress else "")
        super().emit(record)
        self._write(self._progress)

    def show_progress(self, text: str) -> None:
        """Shows `text` in place of the last progress, with a bar where it says "7/12"; "" removes it."""
        line = draw_bar(text) if text else ""
        if self._is_terminal and line != self._progress:
            self.acquire()
            try:
                self._progress = line
                self._write(_CLEAR + line)
            finally:
                self.release()

    def _write(self, text: str) -> None:
        if text:
            self.stream.write(text)
            self.stream.flush()


class _Formatter(logging.Formatter):
    """Names a record's room without the package in front: "engine" for "penstock.engine"."""

    def format(self, record: logging.LogRecord) -> str:
        record.room = record.name.removeprefix("penstock.")
        return super().format(record)


def draw_bar(text: str) -> str:
    """`text` behind a bar as long as the share in it: "compiled 3/12" is a quarter."""
    share = _SHARE.search(text)
    if share is None or int(share[2]) == 0:
        return text
    filled = round(_BAR_CELLS * min(1.0, int(share[1]) / int(share[2])))
    return f"[{'█' * filled}{'·' * (_BAR_CELLS - filled)}] {text}"


def start_logging(level: str) -> Console:
    """Sends Penstock's log to stderr at `level` and up, once; other libraries' warnings with it."""
    root = logging.getLogger()
    for handler in root.handlers:
        if isinstance(handler, Console):
            root.removeHandler(handler)
    console = Console(sys.stderr)
    root.addHandler(console)
    logging.getLogger("penstock").setLevel(level.upper())
    return console
