"""What the host packs, the device unpacks."""

import numpy as np

from penstock.engine import PrefillSlice
from penstock.engine.state import pack_slice, packed_size, unpack_slice
from penstock.generation import MAX_STOP_IDS


def test_a_slice_survives_packing():
    piece = PrefillSlice(
        slot=3, tokens=np.array([5, 6, 7], np.int32), start=16, pages=np.array([9, 4], np.int32), is_last=True,
        temperature=0.7, top_k=40, top_p=0.9, min_p=0.05, key=(0xFFFFFFFF, 1), max_new_tokens=12, stop_ids=(2, 1275),
    )  # fmt: skip
    packed = pack_slice(piece, 8, 4)
    assert packed.shape == (packed_size(8, 4),)
    got = unpack_slice(packed, 4)
    assert got.tokens.tolist() == [5, 6, 7, 0, 0, 0, 0, 0]
    assert [int(got.num_tokens), int(got.start), int(got.slot), bool(got.is_last)] == [3, 16, 3, True]
    row = got.row
    assert row.block_table.tolist() == [[9, 4, 0, 0]]
    assert row.stop_ids.tolist() == [[2, 1275] + [-1] * (MAX_STOP_IDS - 2)]
    assert row.key.tolist() == [[0xFFFFFFFF, 1]]
    assert (row.remaining.tolist(), row.top_k.tolist()) == ([12], [40])
    np.testing.assert_array_equal(row.temperature, np.float32([0.7]))
    np.testing.assert_array_equal(row.top_p, np.float32([0.9]))
    np.testing.assert_array_equal(row.min_p, np.float32([0.05]))
