"""Markdown tables of results, and the lines about machine and versions that every one of them carries."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def spread(values: Sequence[float], digits: int = 1) -> str:
    """`median (min-max)`."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of `values` lie; nan of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machine(packages: Sequence[str]) -> str:
    """One paragraph: date, processor, cores, Python and the versions of `packages`."""
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {cpu}, {os.cpu_count()} cores (shared machine), Linux {platform.release()}, "
        f"Python {platform.python_version()}; " + ", ".join(f"{name} {_version(name)}" for name in packages) + "."
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def write(name: str, *parts: str) -> None:
    """Writes benches/results/NAME.md and prints it."""
    text = "\n\n".join(parts) + "\n"
    (RESULTS / f"{name}.md").write_text(text)
    print(text)
