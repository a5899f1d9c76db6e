"""A second start reads what the first compiled; whatever is wrong with a stored file, the engine compiles anew."""

import errno
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest
from driving import Driver
from golden import golden_folder, read_prompts
from quick import quickly

import penstock
from penstock.checkpoint import Checkpoint, inspect_checkpoint
from penstock.engine import EngineOptions
from penstock.engine.compiler import default_cache_folder
from penstock.engine.plan import plan_engine
from penstock.engine.program_set import ProgramKey
from penstock.engine.program_store import MODEL_FREE, SOURCES, ProgramStore
from penstock.engine.programs import program
from penstock.engine.runner import JaxRunner

FRESH = ProgramKey("fresh")


def open_store(folder: Path, checkpoint: Checkpoint, *, max_num_seqs: int = 2) -> ProgramStore:
    device = jax.devices()[0]
    _, config = plan_engine(checkpoint, EngineOptions(max_num_seqs=max_num_seqs, max_model_len=256), device=device)
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
    with caplog.at_level(logging.INFO, logger="penstock.engine"), quickly():
        second = JaxRunner.load(checkpoint, options, on_progress=lambda _: None)
    assert first.num_compiles_after_ready == before
    assert sum(": read in" in message for message in caplog.messages) == 13
    driver = Driver(second)
    prompts = read_prompts(golden_folder("qwen3"))
    lives = [driver.start(prompt.ids, max_new=24) for prompt in prompts]
    assert driver.finish(lives, tokens=4) == [prompt.greedy for prompt in prompts]


def test_a_program_is_found_again_by_what_it_is(stored: Path, checkpoint: Checkpoint):
    caches, _, _ = open_store(stored, checkpoint).load(FRESH)()
    assert len(caches) == 3
    assert open_store(stored, checkpoint, max_num_seqs=3).load(FRESH) is None
    assert open_store(stored, checkpoint).load(ProgramKey("decode", 1)) is None


def test_models_of_one_vocabulary_share_a_sampler_and_nothing_else(tmp_path: Path, checkpoint: Checkpoint):
    """Which is the larger part of a small model's compiling."""
    other = inspect_checkpoint(golden_folder("llama_tied"))
    assert other.spec != checkpoint.spec
    assert other.spec.vocab_size == checkpoint.spec.vocab_size
    of_one, of_other = open_store(tmp_path, checkpoint), open_store(tmp_path, other)
    more_slots = open_store(tmp_path, checkpoint, max_num_seqs=3)
    for kind in ("fresh", "rules", "head", "score", "prefill", "sample", "advance", "decode"):
        file = of_one._file(ProgramKey(kind, 1))
        assert (file == of_other._file(ProgramKey(kind, 1))) == (kind in MODEL_FREE), kind
        assert file != more_slots._file(ProgramKey(kind, 1)), kind
    for kind in sorted(MODEL_FREE):  # what is compiled is the same, too
        key = ProgramKey(kind, 1)
        functions = [program(key, store._config, []) for store in (of_one, of_other)]
        texts = [function.lower(*shapes).as_text() for function, shapes in functions]
        assert texts[0] == texts[1], kind


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


def refuse(*_: object, **__: object) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


def test_a_cache_on_a_read_only_file_system_is_read(
    stored: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr("os.utime", refuse)
    monkeypatch.setattr("os.access", lambda _, mode: not mode & os.W_OK)
    with caplog.at_level(logging.WARNING, logger="penstock.engine"):
        store = open_store(stored, checkpoint)
    assert len(store.load(FRESH)()[0]) == 3
    assert [message for message in caplog.messages if f"read from {stored}" in message and "not kept" in message]


def test_a_cache_that_became_read_only_stops_no_start(
    stored: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
):
    """The clean-up after a write that failed raised, and so did the time stamp after a read that had not."""
    store = open_store(stored, checkpoint)
    (stored / "old.program").touch()
    monkeypatch.setattr("penstock.engine.program_store.MAX_PROGRAMS", 1)
    for name in ("os.utime", "os.open", "pathlib.Path.unlink", "pathlib.Path.write_bytes"):
        monkeypatch.setattr(name, refuse)
    store.save(ProgramKey("decode", 1), program(FRESH, store._config, [])[0].lower().compile())
    assert store.load(FRESH) is not None
    store.prune()


@pytest.fixture
def shared_folder(stored: Path) -> Iterator[Path]:
    """What `stored` holds, where every user can come."""
    folder = Path(tempfile.mkdtemp())
    shutil.copytree(stored, folder, dirs_exist_ok=True)
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_reads_roots_cache(shared_folder: Path):
    """The folder is for root to write, and the process becomes another user once all its modules are there."""
    code = """if True:
        import os, sys, pathlib
        from golden import golden_folder
        from penstock.checkpoint import inspect_checkpoint
        from test_program_store import FRESH, open_store
        folder, checkpoint = pathlib.Path(sys.argv[1]), inspect_checkpoint(golden_folder("qwen3"))
        open_store(folder, checkpoint).load(FRESH)
        os.setgroups([]), os.setresgid(65534, 65534, 65534), os.setresuid(65534, 65534, 65534)
        store = open_store(folder, checkpoint)
        print(len(store.load(FRESH)()[0]), store._access.name)
        store.save(FRESH, None)
        store.prune()"""
    rooms = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "parity")]
    done = subprocess.run(
        [sys.executable, "-c", code, shared_folder], env=os.environ | {"PYTHONPATH": os.pathsep.join(rooms)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "3 READ", done.stderr
    assert len(list(shared_folder.iterdir())) == 1


def test_a_file_that_others_can_write_to_is_not_read(stored: Path, checkpoint: Checkpoint):
    (file,) = stored.glob("*.program")
    file.chmod(0o666)
    assert open_store(stored, checkpoint).load(FRESH) is None


def test_a_programs_name_follows_from_every_source_that_it_is_made_of():
    """`generation.py` was left out, and with another MAX_STOP_IDS every step failed."""
    code = "import sys, penstock.engine.programs as _; print(*(m for m in sys.modules if m.startswith('penstock.')))"
    names = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    root = Path(penstock.__file__).parent
    files = {Path(sys.modules[name].__file__).relative_to(root) for name in names if name in sys.modules}
    others = {file.as_posix() for file in files if file.parts[0] not in SOURCES}
    assert all(file.startswith("_core.") for file in others), "it knows nothing of programs, and all else is named"
    assert len(files) > 10


def test_other_row_parameters_are_other_programs(stored: Path, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("penstock.engine.program_store.ROW_PARAMETERS", {})
    assert open_store(stored, checkpoint).load(FRESH) is None
