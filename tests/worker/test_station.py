"""The books on a place where jobs run."""

from mainspring.job import Claimed, Policy, State, Transition, encode_policy
from mainspring.worker.crew.station import Station
from mainspring.worker.link.wire import Drop, Order, Report


class Place:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.orders: list[Order] = []

    def send(self, order: Order) -> None:
        self.orders.append(order)


def _station(place: Place) -> Station:
    station = Station(place, bytearray(4), 4)
    station.welcome({"thread": 2})
    return station


def _job(number: int, token: int) -> Claimed:
    policy = encode_policy(Policy())
    return Claimed(number, token, bytes(16), "q", "t", b"{}", 1, 1, 0, 0, 0, policy)


def _done(number: int, token: int) -> Report:
    return Report([Transition(number, token, State.COMPLETED)])


def test_a_job_that_comes_again_before_its_loss_is_known_takes_one_place_only() -> None:
    station = _station(Place())
    station.feed([_job(1, token=7)], "thread")
    station.feed([_job(1, token=8)], "thread")
    assert station.free("thread") == 1
    assert station.take(_done(1, token=7)).transitions == []
    assert len(station.take(_done(1, token=8)).transitions) == 1
    assert station.free("thread") == 2
    assert station.feed([_job(n, token=9) for n in range(2, 6)], "thread") == []


def test_a_lost_grant_takes_no_job_along_that_came_again_under_another() -> None:
    place = Place()
    station = _station(place)
    station.feed([_job(1, token=8), _job(2, token=7)], "thread")
    assert [job.number for job in station.lose([7])] == [2]
    assert list(station.held) == [1]
    assert any(isinstance(order, Drop) and order.tokens == [7] for order in place.orders)


def test_coroutines_beside_functions_are_told_of_as_they_run() -> None:
    station = Station(Place(), bytearray(4), 4)
    station.welcome({"thread": 8, "async": 1000})
    assert (station.busy, station.places) == (0, 8)
    station.feed([_job(1, token=7), _job(2, token=7)], "async")
    station.feed([_job(3, token=7)], "thread")
    assert (station.busy, station.places) == (3, 10)
    station.welcome({"async": 1000})
    assert (station.busy, station.places) == (0, 1000)
