"""Embeddings by every pooling equal transformers' states, in spans of 16 tokens. Recorded by `make_pooled.py`."""

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from driving import NO_SLOTS
from golden import BUNDLED, TOLERANCE

from penstock.engine import BlockTableChange, Join, Span, StepPlan, Yields
from penstock.engine.row_parameters import NEUTRAL_ROW
from penstock.engine.runner import JaxRunner
from penstock.pooling import PooledVectors, Pooling, PoolingConfig


def embed(runner: JaxRunner, ids: list[int], pooling: Pooling) -> np.ndarray:
    capacity, config = runner.capacity, PoolingConfig(64, pooling, is_normalized=False)
    vectors = PooledVectors([len(ids)], config)
    pages = np.arange(1, 2 - (-len(ids) // capacity.page_size), dtype=np.int32)
    joins, tables = (Join(0, NEUTRAL_ROW),), (BlockTableChange(0, 0, 0, pages),)
    for start, end in pairwise([*range(0, len(ids), 16), len(ids)]):
        span = Span(0, np.array(ids[start:end], np.int32), start, Yields.POOLED)
        output = runner.dispatch(StepPlan(joins, (span,), tables, NO_SLOTS)).fetch()
        joins, tables = (), ()
        assert output.pooled is not None
        assert vectors.add(0, output.pooled[0]) == (end == len(ids))
    return vectors.embeddings(config)[0]


@pytest.mark.parametrize("pooling", Pooling)
def test_a_prompts_states_are_pooled_as_transformers_has_them(
    load_golden: Callable[[str], JaxRunner], pooling: Pooling
) -> None:
    runner = load_golden("qwen3")
    recorded: list[dict[str, Any]] = json.loads((BUNDLED / "pooled.json").read_text())["qwen3"]
    for each in recorded:
        want = np.array(each[pooling.value])
        got = embed(runner, each["ids"], pooling)
        rms = float(np.sqrt(np.mean(want**2)))
        assert np.all(np.abs(got - want) <= TOLERANCE * (np.abs(want) + rms))
