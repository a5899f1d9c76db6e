"""A live server on the JAX engine with a model that never stops by itself, and whose steps fail on demand."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from processes import Launch, free_port

from penstock import demo

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def endless_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled model without stop ids."""
    folder = tmp_path_factory.mktemp("model") / "endless"
    shutil.copytree(demo.model_path(), folder)
    for name in ("config.json", "generation_config.json"):
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**content, "eos_token_id": None}))
    return folder


@pytest.fixture(scope="session")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of n lines has n decode steps fail."""
    return tmp_path_factory.mktemp("faults") / "faults"


@pytest.fixture
def fail_steps(faults: Path) -> Callable[[int], None]:
    """Has the next n decode steps fail."""

    def fail(num_steps: int) -> None:
        draft = faults.with_suffix(".draft")
        draft.write_text("fault\n" * num_steps)
        draft.replace(faults)  # the server never sees half of it

    return fail


def start(folder: Path, faults: Path, cache: Path) -> Launch:
    port = free_port()
    arguments = map(str, (HERE / "failing_server.py", port, folder, faults, cache))
    return Launch([sys.executable, *arguments], port)


@pytest.fixture(scope="session")
def server(endless_model: Path, faults: Path, compile_cache: Path) -> Iterator[Launch]:
    """4 sequences, 8 requests in the queue."""
    with start(endless_model, faults, compile_cache) as launch:
        launch.wait_for("/ready", timeout_s=120)
        yield launch


@pytest.fixture
def doomed_server(server: Launch, endless_model: Path, faults: Path, compile_cache: Path) -> Iterator[Launch]:
    """One more, which a test may break for good. Starts from the first one's compiled programs."""
    with start(endless_model, faults, compile_cache) as launch:
        launch.wait_for("/ready", timeout_s=120)
        yield launch
