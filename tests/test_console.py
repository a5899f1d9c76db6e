"""The log and its line of progress; the judge is what a terminal would show."""

import io
import logging

import pytest

from penstock.console import Console, draw_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        """The lines a reader sees: "\\r\\x1b[K" starts a line anew."""
        return [line.rpartition("\r\x1b[K")[2] for line in self.getvalue().split("\n")]


def say(console: Console, text: str) -> None:
    console.handle(logging.LogRecord("penstock.engine", logging.INFO, "", 0, text, (), None))


def test_progress_stays_below_the_log() -> None:
    terminal = Terminal()
    console = Console(terminal)
    console.show_progress("compiled 1/4")
    say(console, "hello")
    console.show_progress("compiled 4/4")
    lines = terminal.screen()
    assert lines[0].endswith("INFO    engine: hello")
    assert lines[1] == draw_bar("compiled 4/4")
    console.show_progress("")
    assert terminal.screen()[1:] == [""]


def test_a_file_gets_no_progress() -> None:
    file = io.StringIO()
    console = Console(file)
    console.show_progress("compiled 1/4")
    say(console, "hello")
    assert "\r" not in file.getvalue()
    assert file.getvalue().count("\n") == 1


@pytest.mark.parametrize(
    ("text", "num_cells"), [("compiled 0/8", 0), ("compiled 4/8", 12), ("compiled 8/8", 24), ("compiled 9/8", 24)]
)
def test_the_bar_is_as_long_as_the_share(text: str, num_cells: int) -> None:
    assert draw_bar(text).count("█") == num_cells
    assert len(draw_bar(text)) == 24 + 3 + len(text)


def test_progress_without_a_share_is_shown_as_it_is() -> None:
    assert draw_bar("reading weights") == "reading weights"
    assert draw_bar("0/0") == "0/0"
