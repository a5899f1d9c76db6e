"""Request ids and API-key digests, judged by the clock and by hashlib."""

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from penstock import _core

keys = st.binary(max_size=80)


def test_ids_carry_their_time_and_sort_by_it():
    before_ms = time.time_ns() // 1_000_000
    first = _core.mint_id("chatcmpl-")
    time.sleep(0.002)
    second = _core.mint_id("chatcmpl-")
    after_ms = time.time_ns() // 1_000_000
    assert first.startswith("chatcmpl-")
    assert len(first) == len("chatcmpl-") + 32
    assert before_ms <= int(first[9:21], 16) < int(second[9:21], 16) <= after_ms
    assert first < second


def test_ids_of_many_threads_differ():
    with ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(lambda _: _core.mint_id(""), range(20_000)))
    assert len(set(ids)) == len(ids)


@given(keys)
def test_digest_is_sha256(key):
    assert _core.key_digest(key) == hashlib.sha256(key).digest()


@given(keys, st.lists(keys, max_size=5))
def test_a_key_is_known_by_its_digest_alone(key, others):
    digests = [hashlib.sha256(other).digest() for other in others]
    assert _core.keys_equal(key, digests) == (key in others)
    assert _core.keys_equal(key, [*digests, hashlib.sha256(key).digest()])
    assert not _core.keys_equal(key, [hashlib.sha256(key).digest()[:31], b"", key])
