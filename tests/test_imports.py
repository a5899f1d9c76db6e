"""The floors and fences of the house: which room may import which, read from the source itself."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import penstock

ROOT = Path(penstock.__file__).parent
RUST = Path(__file__).parents[1] / "rust" / "src"

#: Low to high. A room imports its own floor and those below.
FLOORS = (
    ("_core",),
    ("abilities", "errors", "config", "generation", "output_options", "pooling", "console"),
    ("protocol", "prompt", "layers", "gguf_file", "safetensors_header", "generation_config", "pooling_config", "mxfp4"),
    ("http",),
    ("life",),
    ("models", "weights", "weight_formats", "sharded_weights", "checkpoint", "unread_tensors"),
    ("engine",),
    ("scheduler",),
    ("adapters",),
    ("delivery",),
    ("server",),
    ("asgi", "serve", "supervisor", "handover", "cli", "demo", "preflight", "__main__"),
)
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

#: Modules that only some rooms or files may import, as prefixes of their path in the package.
FENCES = {
    "jax": ("layers", "models/decoder.py", "models/partition.py", "weights", "sharded_weights", "engine"),
    "asyncio": ("http", "life", "adapters", "delivery", "server", "asgi.py"),
    "granian": ("serve.py", "supervisor.py"),
    "penstock._core": (
        "errors.py",
        "gguf_file.py",
        "protocol/parse.py",
        "prompt",
        "http",
        "layers/kernels.py",
        "layers/packing.py",
        "layers/packed_matrix.py",
        "weight_formats.py",
        "weights.py",
        "engine/plan.py",
        "preflight.py",
        "scheduler/constraints.py",
        "scheduler/prefix_cache.py",
        "adapters",
        "delivery",
        "server",
        "asgi.py",
    ),
    "torch": (),
    "transformers": (),
    "fastapi": (),
    "uvicorn": (),
}

#: Imports upwards, or in a circle, that are allowed, each with the reason.
EXCEPTIONS = {
    ("server/base.py", "penstock.serve"): "BaseInferenceApiServer.run is the seed's own way to start a server",
}


def imports(file: Path) -> Iterator[str]:
    """The full names of what a file imports, anywhere in it, for type checkers alone included."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def files() -> list[str]:
    return sorted(str(file.relative_to(ROOT)) for file in ROOT.rglob("*.py"))


def room_of(name: str) -> str:
    return name.split("/", maxsplit=1)[0].removesuffix(".py")


def within(name: str, module: str) -> bool:
    return name == module or name.startswith(module + ".")


@pytest.mark.parametrize("file", files())
def test_a_room_imports_only_from_below(file: str) -> None:
    if file == "__init__.py":
        return
    floor = FLOOR_OF[room_of(file)]
    for name in imports(ROOT / file):
        parts = name.split(".")
        if parts[0] != "penstock" or len(parts) == 1 or parts[1] not in FLOOR_OF:
            continue
        allowed = FLOOR_OF[parts[1]] <= floor or (file, ".".join(parts[:2])) in EXCEPTIONS
        assert allowed, f"{file} imports {name}, which stands above it"


def test_every_room_of_a_floor_is_there() -> None:
    assert {room_of(file) for file in files()} - {"__init__"} == FLOOR_OF.keys() - {"_core"}


@pytest.mark.parametrize(("file", "module"), EXCEPTIONS, ids=str)
def test_every_exception_is_made_use_of(file: str, module: str) -> None:
    assert module in imports(ROOT / file)


def test_no_files_import_one_another_in_a_circle() -> None:
    module_of = {file: "penstock." + file.removesuffix(".py").replace("/", ".") for file in files()}
    module_of = {file: module.removesuffix(".__init__") for file, module in module_of.items() if file != "__init__.py"}
    graph = {
        module: {name for name in imports(ROOT / file) if (file, name) not in EXCEPTIONS} & set(module_of.values())
        for file, module in module_of.items()
    }
    TopologicalSorter(graph).prepare()  # CycleError shows the circle


@pytest.mark.parametrize("module", FENCES)
def test_a_fenced_module_is_imported_only_behind_its_fence(module: str) -> None:
    for file in files():
        if not file.startswith(FENCES[module]):
            found = [name for name in imports(ROOT / file) if within(name, module)]
            assert not found, f"{file} imports {found[0]}"


@pytest.mark.parametrize(("module", "place"), [(module, place) for module in FENCES for place in FENCES[module]])
def test_a_fence_lets_nobody_in_who_does_not_come(module: str, place: str) -> None:
    inside = [file for file in files() if file.startswith(place)]
    assert any(within(name, module) for file in inside for name in imports(ROOT / file))


def test_pyo3_stays_in_the_bindings() -> None:
    outside = [file for file in RUST.rglob("*.rs") if "bindings" not in file.relative_to(RUST).parts]
    assert outside
    # lib.rs may say so in the list of rooms, where it declares the module.
    assert not [file for file in outside if "pyo3::" in file.read_text()]


def run(code: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=clean, check=True)
    return done.stdout


def test_the_command_line_checks_a_model_without_jax_and_without_threads() -> None:
    code = """if True:
        import os, sys, threading
        from penstock import cli, demo, preflight, serve
        from penstock.config import Settings
        preflight.inspect_model(Settings())
        print(sorted(sys.modules.keys() & {"jax", "jaxlib", "granian"}), threading.active_count())"""
    assert run(code).strip() == "[] 1"


def test_a_worker_blocks_signals_before_any_thread_starts() -> None:
    code = """if True:
        import os, penstock.asgi
        print(len(os.listdir("/proc/self/task")))"""
    assert run(code).strip() == "1"


def test_the_supervisor_holds_almost_nothing_and_one_thread_when_it_forks() -> None:
    code = """if True:
        import os, sys, granian.server
        from penstock import serve
        def report(self, *a, **k):
            heavy = {"jax", "jaxlib", "numpy", "pydantic", "tokenizers", "penstock.asgi"}
            print(sorted(sys.modules.keys() & heavy), len(os.listdir("/proc/self/task")))
        granian.server.Server.serve = report
        serve.run("penstock.asgi:app", host="127.0.0.1", port=1)"""
    assert run(code).strip() == "[] 1"


@pytest.mark.parametrize("arguments", [["serve", "--help"], ["--version"]], ids=" ".join)
def test_help_is_there_at_once(arguments: list[str]) -> None:
    def cpu_seconds() -> float:
        before = os.times()
        subprocess.run([sys.executable, "-m", "penstock", *arguments], stdout=subprocess.DEVNULL, check=True)
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    # One thread that waits for nothing: on an idle machine this is the time on the clock.
    assert min(cpu_seconds() for _ in range(3)) < 0.5
