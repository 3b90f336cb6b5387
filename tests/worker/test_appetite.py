"""How many jobs are asked for: hundreds while they are quick, none ahead when they are not."""

from mainspring.job import Claimed, Policy, encode_policy
from mainspring.worker.control.appetite import MOST_BYTES, Appetite
from mainspring.worker.crew.station import Station
from mainspring.worker.link.wire import Order


class Nowhere:
    def send(self, order: Order) -> None:
        pass


def station(slots: dict[str, int]) -> Station:
    books = Station(Nowhere(), bytearray(5000), 5000)
    books.welcome(slots)
    return books


def jobs(count: int, payload: bytes = b"{}") -> list[Claimed]:
    policy = encode_policy(Policy())
    return [
        Claimed(n, 1, bytes(16), "q", "t", payload, 1, 1, 0, 1, 1, policy) for n in range(count)
    ]


def appetite(slots: dict[str, int]) -> tuple[Appetite, Station]:
    hungry = Appetite(most=1000)
    hungry.meet(slots)
    return hungry, station(slots)


def test_of_jobs_nobody_knows_only_so_many_are_claimed_as_can_begin() -> None:
    hungry, books = appetite({"thread": 8})
    assert hungry.wish([books]).jobs == 8


def test_quick_jobs_are_soon_claimed_by_the_hundred() -> None:
    hungry, books = appetite({"thread": 8})
    for _ in range(8):
        hungry.taste({"thread": jobs(8)})
        hungry.learn({"thread": [8, 8 * 10]}, {"thread": 1_000})
    assert hungry.wish([books]).jobs == 1008
    assert hungry.wish([books, station({"thread": 8})]).jobs == 2016


def test_slow_jobs_are_never_claimed_ahead() -> None:
    hungry, books = appetite({"thread": 8})
    for _ in range(20):
        hungry.taste({"thread": jobs(8)})
        hungry.learn({"thread": [8, 8 * 100_000]}, {"thread": 100})
    assert hungry.wish([books]).jobs == 8
    books.feed(jobs(8), "thread")
    assert hungry.wish([books]).jobs == 0


def test_jobs_that_wait_too_long_make_the_next_claims_smaller() -> None:
    hungry, books = appetite({"thread": 8})
    for _ in range(8):
        hungry.taste({"thread": jobs(8)})
        hungry.learn({"thread": [8, 8 * 10]}, {"thread": 1_000})
    many = hungry.wish([books]).jobs
    hungry.learn({}, {"thread": 100_000})
    fewer = hungry.wish([books]).jobs
    assert fewer < many
    hungry.overfed(["thread"])
    assert hungry.wish([books]).jobs <= fewer // 2 + 1
    for _ in range(20):
        hungry.overfed(["thread"])
    assert hungry.wish([books]).jobs == 8


def test_the_places_of_a_loop_are_not_used_when_its_jobs_compute() -> None:
    """A thousand coroutines that never wait are a thousand jobs in a row."""
    hungry, books = appetite({"async": 1000})
    assert hungry.wish([books]).jobs == 1000
    for _ in range(20):
        hungry.learn({"async": [100, 100 * 5_000]}, {"async": 500_000})
    assert hungry.wish([books]).jobs < 100


def test_the_kind_with_the_least_room_for_its_share_decides() -> None:
    hungry, books = appetite({"thread": 8, "async": 1000})
    hungry.taste({"thread": jobs(50), "async": jobs(50)})
    wish = hungry.wish([books])
    assert wish.jobs == 16
    assert wish.places == 8


def test_a_kind_that_does_not_come_does_not_count() -> None:
    hungry, books = appetite({"thread": 8, "async": 1000})
    hungry.taste({"async": jobs(100)})
    assert hungry.wish([books]).jobs == 1000


def test_large_payloads_are_claimed_in_bounds() -> None:
    hungry, books = appetite({"async": 1000})
    hungry.taste({"async": jobs(2, bytes(1_000_000))})
    assert hungry.wish([books]).jobs <= MOST_BYTES // 1_000_000 + 1


def test_the_farther_the_store_the_more_is_claimed_ahead() -> None:
    """There is as much work to be done while a claim is under way."""
    wishes = []
    for trip in (1_000, 100_000, 10_000_000):
        hungry, books = appetite({"thread": 8})
        hungry.travelled(trip)
        for _ in range(8):
            hungry.taste({"thread": jobs(8)})
            hungry.learn({"thread": [8, 8 * 10_000]}, {"thread": 1_000})
        wishes.append(hungry.wish([books]).jobs)
    near, far, farthest = wishes
    assert near == 8 + 8 * 36 // 10
    assert far == 8 + 8 * 135 // 10
    assert far < farthest <= 8 + 8 * 175 // 10


def test_a_trip_that_took_long_once_counts_little() -> None:
    hungry, _ = appetite({"thread": 8})
    hungry.travelled(1_000)
    before = hungry._horizon
    hungry.travelled(100_000)
    assert before < hungry._horizon < before + 6_000
    hungry.travelled(1_000)
    assert hungry._horizon == before
