"""Choices and their random streams."""

import itertools

from fakes import make_request

from penstock.scheduler.sequence import Generation, Sequence, rng_key


def test_choice_zero_samples_alike_whatever_n_is():
    alone = Generation(make_request(1, [[1, 2]], 4, n=1, seed=9))
    among_four = Generation(make_request(2, [[1, 2]], 4, n=4, seed=9))
    keys = [Sequence.begin(g, 0).rng_key for g in (alone, among_four)]
    assert keys[0] == keys[1]


def test_choices_of_every_prompt_get_rows_in_order_and_streams_of_their_own():
    generation = Generation(make_request(3, [[1], [2, 3]], 4, n=3))
    sequences = [Sequence.begin(generation, index) for index in range(6)]
    assert [s.row_key - generation.stream_key for s in sequences] == [0, 1, 2, 3, 4, 5]
    assert [s.prompt_ids.tolist() for s in sequences] == [[1]] * 3 + [[2, 3]] * 3
    assert len({s.rng_key for s in sequences}) == 6


def test_rng_keys_are_two_uint32_that_differ_and_spread():
    seeds = [0, 1, 2, -1, 1 << 62, (1 << 64) - 2]
    keys = [rng_key(*words) for words in itertools.product(seeds, range(20), range(20))]
    assert len(set(keys)) == len(keys)
    assert all(0 <= word < 1 << 32 for key in keys for word in key)
    num_ones = [sum(key[word] >> bit & 1 for key in keys) for word in (0, 1) for bit in range(32)]
    assert all(abs(ones - len(keys) / 2) < len(keys) / 10 for ones in num_ones)


def test_mixing_is_splitmix64_as_published():
    """The first outputs of SplitMix64 from state 1234567, as Rosetta Code and many libraries list them."""
    from penstock.scheduler.sequence import _mix64

    gamma = 0x9E3779B97F4A7C15
    outputs = [_mix64((1234567 + gamma * step) & ((1 << 64) - 1)) for step in range(3)]
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]
