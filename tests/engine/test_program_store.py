"""A second start reads what the first compiled; whatever is wrong with a stored file, the engine compiles anew."""

import logging
from pathlib import Path

import jax
import pytest
from driving import Driver
from golden import golden_folder, read_prompts

from penstock.checkpoint import Checkpoint
from penstock.engine import EngineOptions
from penstock.engine.compiler import default_cache_folder
from penstock.engine.program_store import ProgramStore
from penstock.engine.programs import ProgramKey, program
from penstock.engine.runner import JaxRunner, plan_engine

FRESH = ProgramKey("fresh")


def open_store(folder: Path, checkpoint: Checkpoint, *, max_num_seqs: int = 2) -> ProgramStore:
    device = jax.devices()[0]
    _, config = plan_engine(checkpoint, EngineOptions(max_num_seqs=max_num_seqs), device=device)
    return ProgramStore(folder, config, [], device=device)


@pytest.fixture
def stored(tmp_path: Path, checkpoint: Checkpoint) -> Path:
    """A folder that holds one program."""
    store = open_store(tmp_path, checkpoint)
    store.save(FRESH, program(FRESH, store._config, [])[0].lower().compile())
    return tmp_path


def test_a_second_start_compiles_nothing_and_computes_the_same(
    loaded: tuple[JaxRunner, list[str]], checkpoint: Checkpoint, program_cache: Path, caplog: pytest.LogCaptureFixture
):
    first = loaded[0]
    options = EngineOptions(
        max_num_seqs=6, max_prefill_tokens=32, max_model_len=256, tokens_per_dispatch=4, compile_cache=program_cache
    )
    before = first.num_compiles_after_ready
    with caplog.at_level(logging.INFO, logger="penstock.engine"):
        second = JaxRunner.load(checkpoint, options, on_progress=lambda _: None)
    assert first.num_compiles_after_ready == before
    assert sum(": read in" in message for message in caplog.messages) == 9
    driver = Driver(second)
    prompts = read_prompts(golden_folder("qwen3"))
    lives = [driver.start(prompt.ids, max_new=24) for prompt in prompts]
    assert driver.finish(lives, tokens=4) == [prompt.greedy for prompt in prompts]


def test_a_program_is_found_again_by_what_it_is(stored: Path, checkpoint: Checkpoint):
    caches, _ = open_store(stored, checkpoint).load(FRESH)()
    assert len(caches) == 3
    assert open_store(stored, checkpoint, max_num_seqs=3).load(FRESH) is None
    assert open_store(stored, checkpoint).load(ProgramKey("decode", 1)) is None


@pytest.mark.parametrize("damage", [lambda data: data[:100], lambda data: data[:-1] + b"\0", lambda _: b""])
def test_a_damaged_file_is_left_out(stored: Path, checkpoint: Checkpoint, damage):
    (file,) = stored.glob("*.program")
    file.write_bytes(damage(file.read_bytes()))
    assert open_store(stored, checkpoint).load(FRESH) is None


def test_a_folder_that_others_can_write_to_is_not_used(stored: Path, checkpoint: Checkpoint):
    stored.chmod(0o777)
    assert open_store(stored, checkpoint).load(FRESH) is None


def test_a_folder_that_cannot_be_made_costs_nothing_but_time(tmp_path: Path, checkpoint: Checkpoint):
    (tmp_path / "file").write_text("")
    store = open_store(tmp_path / "file" / "folder", checkpoint)
    assert store.load(FRESH) is None
    store.prune()


def test_the_least_recently_used_go_first(stored: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("penstock.engine.program_store.MAX_PROGRAMS", 3)
    for number in range(5):
        (stored / f"{number}.program").write_bytes(b"")
    store = open_store(stored, checkpoint)
    store.prune()
    assert len(list(stored.glob("*.program"))) == 3


def test_the_cache_folder_follows_the_users(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_cache_folder() == Path("/somewhere/penstock/xla")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache_folder() == Path.home() / ".cache" / "penstock" / "xla"
