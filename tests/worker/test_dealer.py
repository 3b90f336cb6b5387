"""Who gets which job."""

import time

from mainspring.job import Claimed, Policy, encode_policy
from mainspring.worker.control.dealer import Dealer, Taste
from mainspring.worker.crew.station import Station
from mainspring.worker.link.wire import Drop, Feed, Hello, Order


class Place:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.orders: list[Order] = []

    def send(self, order: Order) -> None:
        self.orders.append(order)


class OneStation:
    """A crew of one, which takes suspects, too."""

    apart = True
    isolating = gone = False
    count = 1

    def __init__(self) -> None:
        self.place = Place()
        self.station = Station(self.place, bytearray(9), 9)
        self.station.welcome({"thread": 2})
        self.stations = self.everyone = [self.station]

    def isolated(self) -> Station | None:
        return self.station

    def tend(self) -> None: ...

    def quit(self) -> None: ...

    def kill(self) -> None: ...


def _suspect(number: int, token: int = 7) -> Claimed:
    policy = encode_policy(Policy())
    return Claimed(number, token, bytes(16), "q", "t", b"{}", 3, 3, 2, 0, 0, policy)


def _dealer(crew: OneStation) -> Dealer:
    dealer = Dealer(crew, 100)
    dealer.meet(Hello({"t": "thread"}, {"thread": 2}, "url"))
    return dealer


def test_a_suspect_whose_task_a_newer_app_has_no_more_goes_to_a_place_that_says_so() -> None:
    crew = OneStation()
    dealer = _dealer(crew)
    dealer.deal([_suspect(1)])
    dealer.meet(Hello({"u": "thread"}, {"thread": 2}, "url"))
    dealer.deal_suspects()
    [feed] = crew.place.orders
    assert isinstance(feed, Feed)
    assert [job.number for job in feed.jobs] == [1]


def test_suspects_that_wait_are_lost_with_their_grants_and_no_others() -> None:
    crew = OneStation()
    dealer = _dealer(crew)
    dealer.deal([_suspect(1, token=7), _suspect(1, token=8)])
    assert [job.token for job in dealer.lose([7])] == [7]
    assert [job.token for job in dealer.suspects] == [8]
    assert [type(order) for order in crew.place.orders] == [Drop]


def test_after_a_claim_that_came_too_late_the_next_are_for_fewer() -> None:
    """Else what must go back each time would be claimed again and again."""
    dealer, lease = Dealer(OneStation(), 1000), 10.0
    dealer.meet(Hello({"t": "thread"}, {"thread": 2}, "url"))
    now = time.monotonic()
    assert dealer.timely(2, now, lease)
    assert not dealer.timely(2, now - lease, lease)
    claim = dealer.wish(Taste("w", 1), 0)
    assert claim is not None
    assert claim.limit == 1
    assert dealer.timely(1, now, lease)
    claim = dealer.wish(Taste("w", 1), 0)
    assert claim is not None
    assert claim.limit == 2
