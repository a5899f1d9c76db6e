"""The claim to be the only worker. Locks of two open files conflict in one process as they do in two."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.errors import ConfigError
from penstock.life.only_worker import OnlyWorker


@pytest.fixture
def workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[OnlyWorker]]:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    made = [OnlyWorker(), OnlyWorker()]
    yield made
    for worker in made:
        worker.release()


def test_a_second_worker_of_the_same_launch_is_refused_at_once(workers: list[OnlyWorker]) -> None:
    first, second = workers
    first.claim(wait_s=0)
    start = time.monotonic()
    with pytest.raises(ConfigError, match="--workers 1"):
        second.claim(wait_s=30)
    assert time.monotonic() - start < 1


def test_a_worker_that_replaces_another_waits_for_it_and_gives_up(workers: list[OnlyWorker]) -> None:
    first, second = workers
    first.claim(wait_s=0)
    os.utime(first.path, (1, 1))
    with pytest.raises(ConfigError):
        second.claim(wait_s=0.3)
    first.release()
    second.claim(wait_s=0)


def test_released_claims_leave_no_file(workers: list[OnlyWorker]) -> None:
    first, _ = workers
    first.claim(wait_s=0)
    assert first.path.exists()
    first.release()
    first.release()
    assert not first.path.exists()
