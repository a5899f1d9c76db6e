"""Stored responses in an SQLite file: they outlive the process."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from penstock.errors import ConfigError
from penstock.server.response_store import ResponseStore, StoredResponse, StoreError

logger = logging.getLogger("penstock.server")

_VERSION = 1
_SCHEMA = """
CREATE TABLE response (
    response_id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    previous_id TEXT,
    body BLOB NOT NULL,
    items BLOB NOT NULL,
    num_bytes INTEGER NOT NULL,
    used INTEGER NOT NULL  -- grows with every use of any response
) WITHOUT ROWID;
CREATE INDEX response_used ON response (used);
"""


class SqliteResponseStore(ResponseStore):
    """In a file, which one process at a time has open.

    Raises:
        ConfigError: a file that cannot be opened, is no database, or is of another version.
    """

    def __init__(self, path: Path, max_bytes: int) -> None:
        super().__init__(max_bytes)
        try:
            self._db = sqlite3.connect(path, check_same_thread=False)
            self._prepare(path)
            total, used = self._db.execute("SELECT TOTAL(num_bytes), MAX(used) FROM response").fetchone()
        except sqlite3.Error as error:
            raise ConfigError(f"Cannot use the response store {path}: {error}.") from None
        self._num_bytes, self._used = int(total), used or 0
        try:
            self._evict()  # it may have been opened with more room before
        except StoreError as error:
            raise ConfigError(f"Cannot use the response store {path}: {error}.") from None

    def _prepare(self, path: Path) -> None:
        self._db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before there is a table
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version not in (0, _VERSION):
            raise ConfigError(f"The response store {path} is of version {version}; this one reads {_VERSION}.")
        if version == 0:
            self._db.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")

    def _put(self, response: StoredResponse) -> None:
        row = (
            response.response_id, response.owner, response.previous_id, response.body, response.items,
            response.num_bytes, self._next_use(),
        )  # fmt: skip
        with self._transaction():
            self._db.execute("INSERT INTO response VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            self._num_bytes += response.num_bytes
        self._evict()

    def get(self, response_id: str, owner: str) -> StoredResponse | None:
        columns = "response_id, owner, previous_id, body, items"
        found = self._db.execute(
            f"SELECT {columns} FROM response WHERE response_id = ? AND owner = ?", (response_id, owner)
        ).fetchone()
        if found is None:
            return None
        try:
            with self._transaction():
                self._db.execute("UPDATE response SET used = ? WHERE response_id = ?", (self._next_use(), response_id))
        except StoreError as error:  # as on a full disk: what was read is as good without
            logger.warning("That response %s was used could not be noted: %s", response_id, error)
        return StoredResponse(*found)

    def delete(self, response_id: str, owner: str) -> bool:
        with self._transaction():
            return self._delete("response_id = ? AND owner = ?", response_id, owner)

    def close(self) -> None:
        self._db.close()

    def _evict(self) -> None:
        if self._num_bytes <= self.max_bytes:
            return
        with self._transaction():
            while self._num_bytes > self.max_bytes and self._delete("used = (SELECT MIN(used) FROM response)"):
                pass
        with self._transaction():
            self._db.execute("PRAGMA incremental_vacuum").fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All that is written within it, or nothing, and the count of bytes with it. Raises StoreError."""
        before = self._num_bytes
        try:
            with self._db:
                yield
        except sqlite3.Error as error:
            self._num_bytes = before
            raise StoreError(str(error)) from error

    def _delete(self, where: str, *values: str) -> bool:
        gone = self._db.execute(f"DELETE FROM response WHERE {where} RETURNING num_bytes", values).fetchall()
        self._num_bytes -= sum(num_bytes for (num_bytes,) in gone)
        return bool(gone)

    def _next_use(self) -> int:
        self._used += 1
        return self._used
