"""docs/differences.md: every row of the list it promises to go through."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "differences.md"


def test_every_row_is_told_once_and_says_whether_it_holds() -> None:
    rows = re.findall(r"^\| (S-\d\d) \| .* \| (.*) \|$", PAGE.read_text(), flags=re.MULTILINE)
    assert [number for number, _ in rows] == [f"S-{number:02}" for number in range(1, 46)]
    for number, told in rows:
        assert re.search(r"\bholds?\b|\*\*differs\*\*|kept for subclasses", told), number
