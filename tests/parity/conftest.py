"""Runners of the golden checkpoints, each loaded once for the whole run."""

import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import cache
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

from golden import ENGINE_NAMES, IS_WHOLE, NUM_DEVICES, golden_folder
from quick import quickly

from penstock.checkpoint import inspect_checkpoint
from penstock.engine import EngineOptions
from penstock.engine.runner import JaxRunner

LoadGolden = Callable[[str], JaxRunner]


@pytest.fixture(scope="session")
def load_golden(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadGolden]:
    """A runner of few programs: slices of up to 16 tokens, one row, or up to three for those that run in company. The
    first checkpoint is compiled as it is served."""
    folder = tmp_path_factory.mktemp("programs")

    @cache
    def load(name: str) -> JaxRunner:
        options = EngineOptions(
            max_num_seqs=3 if IS_WHOLE or name in ENGINE_NAMES[:2] else 1, max_prefill_tokens=16, max_model_len=256,
            compile_cache=folder, tensor_parallel_size=NUM_DEVICES,
        )  # fmt: skip
        with nullcontext() if name == ENGINE_NAMES[0] else quickly():
            return JaxRunner.load(inspect_checkpoint(golden_folder(name)), options, on_progress=lambda _: None)

    yield load
    load.cache_clear()
