"""What the host packs, the device unpacks; and changes of block tables."""

from dataclasses import fields

import jax.numpy as jnp
import numpy as np
import pytest

from penstock.engine.packing import Layout
from penstock.engine.row_parameters import NEUTRAL_ROW, ROW_PARAMETERS, ROW_SIZE, Variant, pack_row, variant_of
from penstock.engine.state import change_tables, empty_state, unpack_rows
from penstock.engine.token_rules import RowUse
from penstock.generation import MAX_STOP_IDS, SamplingParams

GIVEN = SamplingParams(
    max_tokens=12, min_tokens=3, temperature=0.7, top_k=40, top_p=0.9, min_p=0.05,
    presence_penalty=0.5, frequency_penalty=-0.5, repetition_penalty=1.25, logprobs=3,
)  # fmt: skip


def unpacked(sampling: SamplingParams) -> dict[str, np.ndarray]:
    row = pack_row(sampling, rng_key=(0xFFFFFFFF, 1), stop_ids=(2, 1275))
    assert (row.shape, row.dtype) == ((ROW_SIZE,), np.int32)
    return {name: np.asarray(values)[0] for name, values in unpack_rows(jnp.asarray(row)[None]).items()}


def test_every_parameter_of_the_table_survives_the_way_down():
    got = unpacked(GIVEN)
    assert got.keys() == ROW_PARAMETERS.keys()
    for field in fields(SamplingParams):
        if parameter := ROW_PARAMETERS.get(field.name):
            assert got[field.name].dtype == parameter.dtype
            assert got[field.name] == np.dtype(parameter.dtype).type(getattr(GIVEN, field.name))
            assert getattr(GIVEN, field.name) != parameter.neutral, "give it a value that is told from none"
    assert got["rng_key"].tolist() == [0xFFFFFFFF, 1]
    assert got["uses"] == RowUse.PENALTIES | RowUse.LOGPROBS
    assert got["stop_ids"].tolist() == [2, 1275] + [-1] * (MAX_STOP_IDS - 2)


def test_a_greedy_row_keeps_nothing_that_only_matters_to_draws():
    got = unpacked(SamplingParams(max_tokens=12, temperature=0.0, top_k=40, top_p=0.9, min_p=0.05))
    assert [got[name].tolist() for name in ("top_k", "top_p", "min_p", "rng_key")] == [0, 1, 0, [0, 0]]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"temperature": 0.0, "top_k": 5, "top_p": 0.5}, Variant.PLAIN),
        ({"temperature": 0.8}, Variant.PLAIN),
        ({"top_k": 5}, Variant.FILTERED),
        ({"top_p": 0.99}, Variant.FILTERED),
        ({"min_p": 0.1}, Variant.FILTERED),
        ({"temperature": 0.0, "min_tokens": 1}, Variant.FILTERED),
        ({"presence_penalty": 0.5}, Variant.FULL),
        ({"frequency_penalty": 0.5}, Variant.FULL),
        ({"temperature": 0.0, "repetition_penalty": 1.5}, Variant.FULL),
        ({"logit_bias": {1: 2.0}}, Variant.FULL),
        ({"allowed_token_ids": [1]}, Variant.FULL),
        ({"bad_word_ids": [(1,)]}, Variant.FULL),
        ({"logprobs": 0}, Variant.FULL),
        ({"best_of": 2}, Variant.FULL),
        ({"best_of": 1, "prompt_logprobs": 1}, Variant.PLAIN),
    ],
)
def test_the_least_sampler_that_serves_a_row(given, expected: Variant):
    row = pack_row(SamplingParams(max_tokens=9, **given), rng_key=(1, 2), stop_ids=(3,))
    assert variant_of(row) is expected


def test_an_empty_state_has_neutral_rows():
    np.testing.assert_array_equal(empty_state(3, 4).params, np.stack([NEUTRAL_ROW] * 3))


def test_parts_stand_one_after_the_other():
    layout = Layout.of(a=1, b=3, c=2)
    packed, parts = layout.zeros()
    parts["b"][:], parts["c"][:] = (1, 2, 3), 4
    assert packed.tolist() == [0, 1, 2, 3, 4, 4]
    assert layout.parts(jnp.asarray(packed))["b"].tolist() == [1, 2, 3]


def test_table_entries_change_by_group_row_and_place():
    state = empty_state(3, 4, num_page_groups=2)
    entries = [(1 * 3 + 2) * 4 + 1, 0, 2 * 3 * 4]  # group 1, row 2, place 1; the very first; none
    tables = np.array(change_tables(state, jnp.array(entries), jnp.array([7, 8, 9])).block_tables)
    assert (tables[1, 2, 1], tables[0, 0, 0]) == (7, 8)
    tables[1, 2, 1] = tables[0, 0, 0] = 0
    assert not tables.any()
