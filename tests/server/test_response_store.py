"""Where responses are kept: the same of memory and of a file, and what only a file does."""

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.errors import ConfigError
from penstock.server.response_store import MemoryResponseStore, ResponseStore, StoredResponse, StoreError
from penstock.server.sqlite_response_store import SqliteResponseStore

ROOM = 4000


def response(name: str, owner: str = "", num_bytes: int = 100) -> StoredResponse:
    """One that takes 512 bytes and `num_bytes`."""
    return StoredResponse(name, owner, None, b"b" * (num_bytes - 2), b"[]")


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ResponseStore]:
    in_memory = request.param == "memory"
    store = MemoryResponseStore(ROOM) if in_memory else SqliteResponseStore(tmp_path / "responses.db", ROOM)
    yield store
    store.close()


def test_a_response_is_there_for_its_owner_alone(store: ResponseStore) -> None:
    kept = StoredResponse("resp_1", "me", "resp_0", b"{}", b"[1]")
    store.put(kept)
    assert store.get("resp_1", "me") == kept
    assert store.get("resp_1", "other") is None
    assert not store.delete("resp_1", "other")
    assert store.delete("resp_1", "me")
    assert store.get("resp_1", "me") is None
    assert not store.delete("resp_1", "me")


def test_the_longest_unused_goes_first(store: ResponseStore) -> None:
    for name in "abcdef":  # 6 times 612 bytes
        store.put(response(name))
    assert store.get("a", "") is not None
    store.put(response("g"))
    assert [name for name in "abcdefg" if store.get(name, "") is None] == ["b"]


def test_what_is_larger_than_all_the_room_is_not_kept_and_nothing_goes_for_it(store: ResponseStore) -> None:
    store.put(response("a"))
    store.put(response("b", num_bytes=ROOM))
    assert store.get("b", "") is None
    assert store.get("a", "") is not None


def test_it_holds_what_a_list_would_hold(store: ResponseStore) -> None:
    """Against a naive twin: a list in the order of use."""
    draw = random.Random(7)
    twin: list[StoredResponse] = []
    for step in range(300):
        name = str(draw.randrange(20))
        found = next((each for each in twin if each.response_id == name), None)
        if found is None:
            new = response(name, num_bytes=draw.randrange(2, 1500))
            store.put(new)
            twin.append(new)
            while sum(each.num_bytes for each in twin) > ROOM:
                del twin[0]
        elif step % 3:
            assert store.get(name, "") == found
            twin.remove(found)
            twin.append(found)
        else:
            assert store.delete(name, "")
            twin.remove(found)
    kept = {name for name in map(str, range(20)) if store.get(name, "") is not None}
    assert kept == {each.response_id for each in twin}


def test_a_file_is_read_again_and_may_have_less_room(tmp_path: Path) -> None:
    path = tmp_path / "responses.db"
    first = SqliteResponseStore(path, ROOM)
    for name in "abcdef":
        first.put(response(name))
    assert first.get("a", "") is not None
    first.close()
    second = SqliteResponseStore(path, 700)
    assert second.get("a", "") == response("a"), "the last that was used"
    assert [name for name in "bcdef" if second.get(name, "")] == []
    second.close()


def test_a_file_gives_its_room_back(tmp_path: Path) -> None:
    path = tmp_path / "responses.db"
    store = SqliteResponseStore(path, 1 << 20)
    for turn in range(40):
        store.put(response(str(turn), num_bytes=200_000))
    store.close()
    assert path.stat().st_size < 2 << 20


@pytest.mark.parametrize("kind", ["no database", "another version", "a folder"])
def test_a_file_that_cannot_be_used_is_refused_by_its_name(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "responses.db"
    if kind == "a folder":
        path.mkdir()
    elif kind == "no database":
        path.write_bytes(b"x" * 5000)
    else:
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA user_version = 99")
        db.close()
    with pytest.raises(ConfigError, match=r"responses\.db"):
        SqliteResponseStore(path, ROOM)


@pytest.fixture
def file_store(tmp_path: Path) -> Iterator[SqliteResponseStore]:
    store = SqliteResponseStore(tmp_path / "responses.db", ROOM)
    yield store
    store.close()


def test_what_is_there_can_be_read_though_nothing_can_be_written(file_store: SqliteResponseStore) -> None:
    file_store.put(response("a"))
    file_store._db.execute("PRAGMA query_only = ON")  # as SQLite answers on a disk that is full, or read only
    assert file_store.get("a", "") == response("a")
    for write in (lambda: file_store.put(response("b")), lambda: file_store.delete("a", "")):
        with pytest.raises(StoreError):
            write()
    file_store._db.execute("PRAGMA query_only = OFF")
    file_store.put(response("c"))
    assert [name for name in "abc" if file_store.get(name, "") is not None] == ["a", "c"]


def test_a_deletion_that_fails_as_it_is_committed_makes_no_room(file_store: SqliteResponseStore) -> None:
    for name in "abcdef":
        file_store.put(response(name))
    file_store._db.executescript("""
        PRAGMA foreign_keys = ON;
        CREATE TABLE pin (response_id TEXT REFERENCES response (response_id) DEFERRABLE INITIALLY DEFERRED);
        INSERT INTO pin VALUES ('a');
    """)
    with pytest.raises(StoreError):
        file_store.delete("a", "")
    with file_store._db:
        file_store._db.execute("DELETE FROM pin")
    file_store.put(response("g"))  # the seventh, for which one has to go
    assert [name for name in "abcdefg" if file_store.get(name, "") is None] == ["a"]


def test_a_file_without_room_that_cannot_be_written_is_refused_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "responses.db"
    first = SqliteResponseStore(path, ROOM)
    for name in "abcdef":
        first.put(response(name))
    first.close()
    prepare = SqliteResponseStore._prepare

    def prepare_to_read(store: SqliteResponseStore, path: Path) -> None:
        prepare(store, path)
        store._db.execute("PRAGMA query_only = ON")

    monkeypatch.setattr(SqliteResponseStore, "_prepare", prepare_to_read)
    with pytest.raises(ConfigError, match=r"responses\.db"):
        SqliteResponseStore(path, 700)
