"""Recorded tokenizer cases, where there are any."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def golden_tokenizer() -> Path:
    """The folder with tokenizer.json and tokenizer_cases.json."""
    golden = Path(os.environ.get("PENSTOCK_GOLDEN", ROOT / "../shared/golden")) / "tokenizer"
    if not (golden / "tokenizer_cases.json").exists():
        pytest.skip(f"no golden cases in {golden}; PENSTOCK_GOLDEN names their folder")
    return golden
