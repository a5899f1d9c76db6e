"""`penstock.JaxEngine.load`: the public way to the JAX engine. Nothing is compiled here."""

import re
from pathlib import Path
from typing import Any

import pytest
from hubs import settings

import penstock
from penstock import ConfigError, JaxEngine, ModelError, PenstockServer, demo
from penstock._core import Metrics


def test_a_folder_is_enough() -> None:
    engine = JaxEngine.load(demo.model_path(), max_num_seqs=3, model_name="mine")
    assert (engine.model_name, engine.max_model_len) == ("mine", 2048)
    assert engine.get_model_info()["max_num_seqs"] == 3
    assert JaxEngine.load(str(demo.model_path())).model_name == demo.model_path().name
    assert penstock.JaxEngine is JaxEngine


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"max_num_seq": 3}, "there is no setting 'max_num_seq'"),
        ({"max_num_seqs": 0}, "--max-num-seqs 0 should be greater than or equal to 1"),
        ({"max_model_len": 10**6}, "max_model_len 1000000 should be at most 2048"),
    ],
)
def test_a_setting_that_does_not_fit_is_refused(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(problem)):
        JaxEngine.load(demo.model_path(), **given)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        JaxEngine.load(tmp_path)


def test_a_server_shows_what_its_engines_count() -> None:
    one = JaxEngine.load(demo.model_path())
    assert PenstockServer(settings(), {"one": one}).counters is one.metrics
    with pytest.raises(ConfigError, match="different metrics"):
        PenstockServer(settings(), {"one": one, "two": JaxEngine.load(demo.model_path())})
    shared = Metrics()
    both = {name: JaxEngine.load(demo.model_path(), metrics=shared) for name in ("one", "two")}
    assert PenstockServer(settings(), both).counters is shared
