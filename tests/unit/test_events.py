"""What the bus of events promises."""

import pytest

from mainspring.events import Bus, StoreBack, StoreLost, WorkerStarted


def test_every_listener_of_a_kind_is_told_and_no_other() -> None:
    bus = Bus()
    heard: list[object] = []
    bus.on(WorkerStarted, lambda event: heard.append(("first", event.worker)))
    bus.on(WorkerStarted, lambda event: heard.append(("second", event.worker)))
    bus.on(StoreBack, lambda event: heard.append(("other", event.worker)))
    bus.emit(WorkerStarted("w1", "sqlite:///jobs.db"))
    assert heard == [("first", "w1"), ("second", "w1")]


def test_an_error_in_a_listener_is_logged_and_breaks_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bus = Bus()
    heard: list[object] = []

    def broken(event: WorkerStarted) -> None:
        raise RuntimeError("no ear")

    bus.on(WorkerStarted, broken)
    bus.on(WorkerStarted, heard.append)
    bus.emit(WorkerStarted("w1", "sqlite:///jobs.db"))
    assert heard == [WorkerStarted("w1", "sqlite:///jobs.db")]
    assert "WorkerStarted" in caplog.text
    assert "no ear" in caplog.text


def test_off_ends_one_listener_and_may_be_called_again() -> None:
    bus = Bus()
    heard: list[object] = []
    others: list[object] = []
    off = bus.on(StoreBack, heard.append)
    bus.on(StoreBack, others.append)
    off()
    off()
    bus.emit(StoreBack("w1"))
    assert heard == []
    assert others == [StoreBack("w1")]


def test_a_listener_that_was_registered_twice_leaves_once_by_each_off() -> None:
    bus = Bus()
    heard: list[object] = []
    hear = heard.append
    first, second = bus.on(StoreBack, hear), bus.on(StoreBack, hear)
    first()
    first()
    bus.emit(StoreBack("w1"))
    assert heard == [StoreBack("w1")]
    second()
    bus.emit(StoreBack("w2"))
    assert heard == [StoreBack("w1")]


def test_a_listener_may_leave_while_it_is_told() -> None:
    bus = Bus()
    heard: list[object] = []

    def once(event: StoreBack) -> None:
        heard.append(event)
        off()

    off = bus.on(StoreBack, once)
    bus.on(StoreBack, heard.append)
    bus.emit(StoreBack("w1"))
    bus.emit(StoreBack("w2"))
    assert heard == [StoreBack("w1"), StoreBack("w1"), StoreBack("w2")]


def test_the_bus_knows_whether_anybody_listens() -> None:
    bus = Bus()
    assert not bus.wants(StoreLost)
    off = bus.on(StoreLost, print)
    assert bus.wants(StoreLost)
    assert not bus.wants(StoreBack)
    off()
    assert not bus.wants(StoreLost)


def test_an_event_nobody_listens_to_is_no_error() -> None:
    Bus().emit(StoreLost("gone", "w1"))
