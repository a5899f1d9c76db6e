"""The golden checkpoints and the rule for comparing with them, from the README beside them."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

REPOSITORY = Path(__file__).parents[2]
GOLDEN = Path(os.environ.get("PENSTOCK_GOLDEN", REPOSITORY.parent / "shared" / "golden"))
BUNDLED = REPOSITORY / "tests" / "data"

#: Always here, the second kind of make_golden.py; the others where PENSTOCK_GOLDEN points to.
BUNDLED_NAMES = ("qwen3", "llama_tied")
MADE_NAMES = tuple(sorted(folder.name for folder in (BUNDLED / "golden").iterdir()))
SHARED_NAMES = (
    "cohere2", "deepseek_v3", "falcon", "gemma2", "gemma3_text", "glm4", "gpt2", "gpt_neox", "gpt_oss", "granite",
    "llama", "mistral", "mixtral", "nemotron", "olmo2", "phi3", "phi3_longrope", "qwen2", "qwen3_moe", "smollm3",
    "starcoder2",
)  # fmt: skip
NAMES = (*BUNDLED_NAMES, *SHARED_NAMES, *MADE_NAMES)

#: Between them every kind of layer: what the everyday run also puts through the engine, in slices and pages; the first
#: two also in company.
ENGINE_NAMES = (
    "qwen3", "gemma2", "llama_tied", "cohere2", "gemma3_text", "gpt2", "glm4", "phi3_longrope", "gpt_oss",
    "deepseek_v3",
)  # fmt: skip

IS_WHOLE = "PENSTOCK_TEST_ALL" in os.environ

#: That engines are split over; with JAX_NUM_CPU_DEVICES as many, this suite judges them too (tests/devices).
NUM_DEVICES = int(os.environ.get("PENSTOCK_TEST_DEVICES", "1"))

#: Of |value| + rms, in float32 on CPU.
TOLERANCE = 2e-5


@dataclass(frozen=True)
class Prompt:
    """A recorded prompt: its ids, the best logits at its end and its greedy continuation."""

    name: str
    ids: np.ndarray
    logits: dict[str, Any]
    greedy: list[int]


def golden_folder(name: str) -> Path:
    """The folder of a golden checkpoint, or a skip that says where it was looked for."""
    if name in BUNDLED_NAMES:
        return BUNDLED / name
    if name in MADE_NAMES:
        return BUNDLED / "golden" / name
    if not (GOLDEN / name).is_dir():
        pytest.skip(f"golden checkpoint {name} is not in {GOLDEN} (PENSTOCK_GOLDEN)")
    return GOLDEN / name


def read_prompts(folder: Path) -> list[Prompt]:
    recorded = json.loads((folder / "golden.json").read_text())["prompts"]
    return [
        Prompt(entry["name"], np.array(entry["ids"], np.int32), entry["last_logits"], entry["greedy"]["ids"])
        for entry in recorded
    ]


def check_logits(got: np.ndarray, want: dict[str, Any]) -> None:
    """Raises where a logit, the length or the sum of the vector is off."""
    rms = want["l2"] / math.sqrt(len(got))
    values = np.array(want["top_values"])
    allowed = TOLERANCE * (np.abs(values) + rms)
    assert np.all(np.abs(got[want["top_ids"]] - values) <= allowed)
    assert abs(float(np.linalg.norm(got)) - want["l2"]) <= TOLERANCE * want["l2"]
    total = float(got.sum(dtype=np.float64))
    assert abs(total - want["sum"]) <= TOLERANCE * (abs(want["sum"]) + want["l2"])
