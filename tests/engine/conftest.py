"""One runner for all tests of the engine: the bundled golden Qwen 3, with every kind of program."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "parity"))

from golden import NUM_DEVICES, golden_folder
from quick import quickly

from penstock.checkpoint import Checkpoint, inspect_checkpoint
from penstock.engine import EngineOptions
from penstock.engine.runner import JaxRunner


@pytest.fixture(scope="session")
def checkpoint() -> Checkpoint:
    return inspect_checkpoint(golden_folder("qwen3"))


@pytest.fixture(scope="session")
def program_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("programs")


@pytest.fixture(scope="session")
def loaded(checkpoint: Checkpoint, program_cache: Path) -> tuple[JaxRunner, list[str]]:
    """Slices of up to 32 tokens, up to 6 rows, 1 or 4 tokens per dispatch; and the progress it told."""
    progress: list[str] = []
    options = EngineOptions(
        max_num_seqs=6, max_prefill_tokens=32, max_model_len=256, tokens_per_dispatch=4, compile_cache=program_cache,
        tensor_parallel_size=NUM_DEVICES,
    )  # fmt: skip
    with quickly():
        return JaxRunner.load(checkpoint, options, on_progress=progress.append), progress


@pytest.fixture
def runner(loaded: tuple[JaxRunner, list[str]]) -> Iterator[JaxRunner]:
    """The shared runner, emptied before each test; a test may compile nothing."""
    runner = loaded[0]
    runner.reset()
    before = runner.num_compiles_after_ready
    yield runner
    assert runner.num_compiles_after_ready == before
