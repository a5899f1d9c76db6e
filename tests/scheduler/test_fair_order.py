"""Who is next for a slot: fair among tenants, by rank within one, and nobody for ever behind others."""

import random

import pytest
from fakes import make_request
from test_planner import small_capacity

from penstock.errors import ApiError
from penstock.scheduler.fair_order import MAX_PASSED, who_gives_way
from penstock.scheduler.planner import Planner
from penstock.scheduler.request_queue import RequestQueue
from penstock.scheduler.sequence import Generation, Sequence


class Seats:
    """A queue and slots, as a planner has them, without pages."""

    def __init__(self, num_slots, *, num_cache_tokens=10_000):
        self.queue = RequestQueue(1000)
        self.queue.order.num_slots, self.queue.order.num_cache_tokens = num_slots, num_cache_tokens
        self.num_slots = num_slots
        self.seated: list[Sequence] = []
        self.num_submitted = 0
        self.fits = lambda _: True

    def submit(self, tenant="", *, num_tokens=4, **options):
        self.num_submitted += 1
        self.queue.submit(make_request(self.num_submitted, [[1] * num_tokens], 4, tenant=tenant, **options))
        return self.num_submitted

    def admit(self):
        """Fills the free slots: the sequences that joined."""
        joined = []
        while len(self.seated) < self.num_slots and (item := self.queue.head(self.fits)):
            if isinstance(item, Generation):
                item = Sequence.begin(item, self.queue.begin_choice(item))
            else:
                self.queue.resume(item)
            self.queue.order.seat(item)
            self.seated.append(item)
            joined.append(item)
        self.queue.order.check_integrity({sequence.row_key for sequence in self.seated})
        return joined

    def end(self, sequence):
        self.seated.remove(sequence)
        self.queue.order.leave(sequence.row_key)

    def preempt(self, sequence):
        self.end(sequence)
        self.queue.put_back(sequence)

    def tenants(self):
        return "".join(sorted(sequence.tenant for sequence in self.seated))


def test_without_keys_it_is_first_come_first_served():
    seats = Seats(3)
    for _ in range(5):
        seats.submit()
    assert [sequence.stream_key >> 12 for sequence in seats.admit()] == [1, 2, 3]
    seats.end(seats.seated[1])
    assert [sequence.stream_key >> 12 for sequence in seats.admit()] == [4]


def test_a_lower_priority_value_goes_first_within_its_tenant_alone():
    seats = Seats(4)
    for tenant, priority in [("a", 2), ("a", -2), ("a", 0), ("b", 9)]:
        seats.submit(tenant, priority=priority)
    order = [(sequence.tenant, sequence.rank[0]) for sequence in seats.admit()]
    assert order == [("a", -2), ("b", 9), ("a", 0), ("a", 2)]


def test_a_tenant_with_many_choices_gives_every_slot_that_becomes_free_to_one_that_waits():
    seats = Seats(8)
    seats.submit("a", n=100)
    seats.admit()
    assert seats.tenants() == "aaaaaaaa"
    seats.submit("b", n=100)
    for _ in range(4):
        seats.end(next(sequence for sequence in seats.seated if sequence.tenant == "a"))
        seats.admit()
    assert seats.tenants() == "aaaabbbb"
    for _ in range(20):
        seats.end(random.Random(1).choice(seats.seated))
        seats.admit()
    assert seats.tenants() in {"aaaabbbb", "aaaaabbb", "aaabbbbb"}


def test_a_tenant_that_holds_much_of_the_cache_waits_for_one_that_holds_little():
    seats = Seats(8, num_cache_tokens=1000)
    seats.submit("a", num_tokens=600)
    seats.admit()
    for _ in range(2):
        seats.submit("a", num_tokens=300)
        seats.submit("b", num_tokens=10)
        seats.submit("b", num_tokens=10)
    joined = [sequence.tenant for sequence in seats.admit()]
    assert joined == ["b", "b", "b", "b", "a", "a"]  # four of eight slots are less than 600 of 1000 tokens


def test_a_long_prompt_that_does_not_fit_is_passed_a_bounded_number_of_times():
    seats = Seats(4)
    seats.submit("b")
    seats.admit()
    seats.submit("a", num_tokens=900)
    for _ in range(3 * MAX_PASSED):
        seats.submit("b")
    seats.fits = lambda waiting: waiting.tenant == "b" or not seats.seated
    joined = []
    while "a" not in joined:
        joined += [sequence.tenant for sequence in seats.admit()]
        seats.end(seats.seated[0])
    assert joined.index("a") == MAX_PASSED


def test_a_preempted_sequence_is_the_next_of_its_tenant_and_not_of_others():
    seats = Seats(2)
    seats.submit("a", n=4)
    seats.submit("a")
    first, second = seats.admit()
    seats.preempt(second)
    seats.preempt(first)
    seats.submit("b")
    assert seats.queue.num_choices == 6
    again, b = seats.admit()
    assert (again, b.tenant) == (first, "b")
    seats.end(b)
    assert seats.admit() == [second]


def test_what_was_preempted_of_a_stream_that_ended_never_goes_on():
    seats = Seats(2)
    seats.submit("a", n=3)
    for sequence in seats.admit():
        seats.preempt(sequence)
    seats.queue.drop(1 << 12)
    assert (seats.queue.num_choices, seats.queue.head(), seats.queue.order.num_waiting("a")) == (0, None, 0)


def test_one_key_cannot_fill_the_queue():
    queue = RequestQueue(16)
    for stream in range(1, 15):
        queue.submit(make_request(stream, [[1]], 4, tenant="greedy"))
    with pytest.raises(ApiError, match="14 requests of this API key") as refusal:
        queue.submit(make_request(15, [[1]], 4, tenant="greedy"))
    assert refusal.value.kind == "server_overloaded"
    for stream, tenant in [(16, "modest"), (17, "other")]:
        queue.submit(make_request(stream, [[1]], 4, tenant=tenant))
    with pytest.raises(ApiError, match="16 requests are waiting"):
        queue.submit(make_request(18, [[1]], 4, tenant="third"))


def test_without_keys_all_places_of_the_queue_can_be_used():
    queue = RequestQueue(16)
    for stream in range(1, 17):
        queue.submit(make_request(stream, [[1]], 4))


def test_a_planner_shares_its_slots():
    queue = RequestQueue(64)
    planner = Planner(small_capacity(), queue, stop_ids=())
    queue.submit(make_request(1, [[1]], 2, n=9, tenant="a"))
    queue.submit(make_request(2, [[1]], 2, n=9, tenant="b"))
    planner.admit()
    planner.check_integrity()
    assert sorted(sequence.tenant for sequence in planner._sequences.values()) == ["a", "a", "b", "b"]


@pytest.mark.parametrize("seed", range(15))
def test_in_any_storm_no_tenant_waits_for_longer_than_its_share_allows(seed):
    """While a tenant waits, whoever has more than it does gets no slot; and whatever happens, all is served."""
    rng = random.Random(seed)
    num_slots, num_tenants = rng.randint(1, 6), rng.randint(1, 5)
    seats = Seats(num_slots, num_cache_tokens=10**9)
    for _ in range(150):
        for _ in range(rng.choice([0, 1, 1, 4])):
            seats.submit(str(rng.randrange(num_tenants)), n=rng.choice([1, 1, 5]), priority=rng.choice([0, 0, 1]))
        for sequence in [*seats.seated]:
            if rng.random() < 0.3:
                rng.choice([seats.end, seats.end, seats.preempt])(sequence)
        if rng.random() < 0.1 and seats.num_submitted:
            stream_key = rng.randint(1, seats.num_submitted) << 12
            seats.queue.cancel(stream_key)
            seats.queue.take_cancelled()
            seats.queue.drop(stream_key)
            for sequence in [each for each in seats.seated if each.stream_key == stream_key]:
                seats.end(sequence)
        joined = seats.admit()
        has = {str(tenant): seats.tenants().count(str(tenant)) for tenant in range(num_tenants)}
        for waiting, num_slots_of_it in has.items():
            if joined and seats.queue.order.num_waiting(waiting):
                richer = [sequence for sequence in joined if has[sequence.tenant] > num_slots_of_it + 1]
                assert not richer, "a slot went to somebody who has more"
        assert seats.queue.num_choices == 0 or len(seats.seated) == num_slots, "a slot is free and somebody waits"
    for _ in range(5000):
        if not seats.seated and not seats.admit():
            break
        seats.end(seats.seated[0])
        seats.admit()
    assert seats.queue.num_choices == 0


def seated(*requests):
    """Sequences of (stream, tenant, priority), in the order of their arrival."""
    made = []
    for arrival, (stream, tenant, priority) in enumerate(requests):
        generation = Generation(make_request(stream, [[1]], 4, tenant=tenant, priority=priority), arrival=arrival)
        made.append(Sequence.begin(generation, 0))
    return made


def test_within_a_tenant_the_lowest_priority_gives_way_then_the_youngest():
    assert who_gives_way(seated((1, "", 0), (2, "", 5), (3, "", 0))).stream_key == 2 << 12
    assert who_gives_way(seated((1, "", 0), (2, "", 0))).stream_key == 2 << 12


def test_a_priority_is_no_weapon_against_other_tenants():
    """The tenant whose request came last gives way, however urgent it says that it is."""
    first, second = (1, "modest", 9), (2, "pushy", -(2**31))
    assert who_gives_way(seated(first, second)).tenant == "pushy"
    assert who_gives_way(seated(first, second, (3, "pushy", 7))).stream_key == 3 << 12
