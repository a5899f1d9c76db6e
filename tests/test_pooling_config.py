"""What a checkpoint says of its embeddings, and what is refused of it, by name."""

import json
from pathlib import Path
from typing import Any

import pytest

from penstock.errors import ModelError
from penstock.pooling import Pooling, PoolingConfig
from penstock.pooling_config import read_pooling

TRANSFORMER = {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
POOLING = {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
NORMALIZE = {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}
DENSE = {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}


def write(folder: Path, modules: Any, pooling: dict[str, Any] | None = None) -> Path:
    (folder / "modules.json").write_text(json.dumps(modules))
    if pooling is not None:
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder


def test_without_a_word_it_is_the_last_token_at_length_one(tmp_path: Path):
    assert read_pooling(tmp_path, hidden_size=8) == PoolingConfig(8, Pooling.LAST, is_normalized=True)


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        ({"word_embedding_dimension": 8, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode_lasttoken": True, "include_prompt": True}, "last"),
        ({"pooling_mode_cls_token": True}, "cls"),
        ({"pooling_mode": "mean"}, "mean"),
        ({"pooling_mode": "lasttoken"}, "last"),
    ],
)
def test_the_mode_in_both_spellings(tmp_path: Path, config: dict[str, Any], pooling: str):
    write(tmp_path, [TRANSFORMER, POOLING], config)
    assert read_pooling(tmp_path, hidden_size=8) == PoolingConfig(8, Pooling(pooling), is_normalized=False)


def test_normalize_is_a_module(tmp_path: Path):
    write(tmp_path, [TRANSFORMER, POOLING, NORMALIZE], {"pooling_mode": "mean"})
    assert read_pooling(tmp_path, hidden_size=8).is_normalized


@pytest.mark.parametrize(
    ("modules", "config", "message"),
    [
        ([TRANSFORMER, POOLING, DENSE], {"pooling_mode": "mean"}, "module Dense is not supported"),
        ([TRANSFORMER], None, "names no module Pooling"),
        ([TRANSFORMER, POOLING], None, "1_Pooling/config.json"),
        ([TRANSFORMER, POOLING | {"path": "../1_Pooling"}], None, "leads out of the folder"),
        ({"a": 1}, None, "not a list of modules"),
        ([TRANSFORMER, POOLING], {"pooling_mode": "max"}, "pooling_mode 'max' is not supported"),
        ([TRANSFORMER, POOLING], {"pooling_mode_max_tokens": True}, "pooling_mode_max_tokens"),
        ([TRANSFORMER, POOLING], {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, "pooling by"),
    ],
)
def test_what_is_not_built_is_refused_by_name(tmp_path: Path, modules: Any, config: Any, message: str):
    write(tmp_path, modules, config)
    with pytest.raises(ModelError, match=message):
        read_pooling(tmp_path, hidden_size=8)
