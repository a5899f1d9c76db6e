"""The rooms of the Rust side: no two modules that stand beside one another use one another, however far around.

Read from the source itself. A room's own file (`tool_call.rs`) names its parts and may be named by them; what it only
hands on (`pub use`) counts as its part's.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

RUST = Path(__file__).parents[1] / "rust"
#: A crate's sources, and how many rooms it has at least.
CRATES = {"core": (RUST / "src", 6), "kernels": (RUST / "kernels" / "src", 2)}
TESTS = ("tests", "testing")

Module = tuple[str, ...]


def modules(root: Path) -> dict[Module, str]:
    """The code of every module, by its path, without comments, strings and tests."""
    found = {}
    for file in root.rglob("*.rs"):
        module = file.relative_to(root).with_suffix("").parts
        module = module[:-1] if module[-1] == "mod" else module
        if module != ("lib",) and not set(module) & set(TESTS):
            code = file.read_text().split("#[cfg(test)]\nmod tests {")[0]
            found[module] = re.sub(r'//[^\n]*|"(?:[^"\\]|\\.)*"', "", code)
    return found


def paths(code: str) -> Iterator[list[str]]:
    """All that begins with `crate` or `super`, `use` trees taken apart."""
    for tree in re.findall(r"\buse\s+((?:crate|super)\b[^;]*);", code):
        yield from branches(re.sub(r"\s+", " ", tree))
    for path in re.findall(r"\b(?:crate|super)(?:::\w+)+", code):
        yield path.split("::")


def branches(tree: str) -> Iterator[list[str]]:
    stem, brace, inner = tree.partition("{")
    start = [part.strip() for part in stem.split("::") if part.strip()]
    if not brace:
        yield [part.split(" as ")[0] for part in start]
        return
    depth, piece = 0, ""
    for sign in inner.rstrip().removesuffix("}") + ",":
        depth += {"{": 1, "}": -1}.get(sign, 0)
        if sign == "," and depth == 0:
            if piece.strip():
                yield from ([*start, *branch] for branch in branches(piece.strip()))
            piece = ""
        else:
            piece += sign


def handed_on(code: str) -> dict[str, list[str]]:
    """What a room hands on of its parts, by name: where it is."""
    return {
        branch[-1]: branch
        for tree in re.findall(r"\bpub(?:\([^)]*\))?\s+use\s+([^;]*);", code)
        for branch in branches(re.sub(r"\s+", " ", tree))
    }


def target(path: list[str], module: Module, known: dict[Module, str]) -> Module:
    """The module that a path in `module` leads to."""
    place = list(module)
    rest = path
    while rest and rest[0] in ("crate", "super"):
        place = [] if rest[0] == "crate" else place[:-1]
        rest = rest[1:]
    while rest and (*place, rest[0]) in known:
        place.append(rest[0])
        rest = rest[1:]
    passed_on = handed_on(known.get(tuple(place), "")).get(rest[0]) if rest else None
    if passed_on and passed_on[0] not in ("crate", "super") and (*place, passed_on[0]) in known:
        return target(["crate", *place, *passed_on], module, known)
    return tuple(place)


def neighbours(known: dict[Module, str]) -> dict[Module, dict[str, set[str]]]:
    """By room: which of its parts uses which of the others."""
    graphs: dict[Module, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for module, code in known.items():
        for path in paths(code):
            used = target(path, module, known)
            depth = next((i for i, (a, b) in enumerate(zip(module, used, strict=False)) if a != b), None)
            if depth is not None:
                graphs[module[:depth]][module[depth]].add(used[depth])
    return graphs


@pytest.mark.parametrize("crate", CRATES)
def test_no_modules_use_one_another_in_a_circle(crate: str) -> None:
    root, num_rooms = CRATES[crate]
    graphs = neighbours(modules(root))
    assert len(graphs) >= num_rooms, "the rooms are read"
    circles = []
    for room, graph in graphs.items():
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            circles.append("::".join(("crate", *room)) + ": " + " → ".join(error.args[1]))
    assert not circles, circles


def test_a_path_is_followed_to_where_it_leads() -> None:
    known: dict[Module, str] = {
        ("a",): "pub use x::{One, y::Two}; mod x;",
        ("a", "x"): "",
        ("a", "x", "y"): "",
        ("b",): "use crate::a::{One, x::y};\nfn f() { super::a::Two::new() }",
    }
    assert [target(path, ("b",), known) for path in paths(known["b",])] == [
        ("a", "x"), ("a", "x", "y"), ("a",), ("a", "x", "y"),
    ]  # fmt: skip
