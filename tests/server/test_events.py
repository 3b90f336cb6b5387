"""What happens to a job, as a stream of events."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from msgspec import json

from mainspring import Mainspring
from mainspring.server.backend import watch
from tests.server.conftest import Gate, Http, Running

Event = dict[str, Any]


def events(lines: Iterator[str]) -> Iterator[Event]:
    """The events of a stream; comments are left out."""
    event: Event = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if not line and "event" in event:
            yield event
            event = {}
        elif name in ("id", "event"):
            event[name] = value
        elif name == "data":
            event["data"] = json.decode(value)


def kinds(told: list[Event]) -> list[Any]:
    """The events in short."""
    short = {"state": "status", "progress": "note", "log": "text"}
    return [event["data"][short[event["event"]]] for event in told]


@pytest.mark.usefixtures("worker")
def test_a_stream_tells_states_progress_and_log_and_ends_with_the_job(
    http: Http, gate: Gate
) -> None:
    path = f"/tasks/{http.task(type='story')['id']}/events"
    told: list[Event] = []
    with http.stream("GET", path) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        for event in events(answer.iter_lines()):
            told.append(event)
            if event["event"] == "log" and event["data"]["text"] == "upon a time":
                gate.open.set()
    texts = kinds(told)
    assert texts[-1] == "completed"
    assert told[-1]["data"]["result"] == "told"
    assert told[-1]["id"] == "end"
    assert [e["data"]["text"] for e in told if e["event"] == "log"] == [
        "once",
        "upon a time",
        "the end",
    ]
    assert "begun" in texts
    assert "running" in texts
    again = http.get(path, headers={"Last-Event-ID": "end"})
    assert again.status_code == 204, "an EventSource is told not to come back"


@pytest.mark.usefixtures("worker")
def test_a_stream_goes_on_where_it_broke_off(http: Http, gate: Gate) -> None:
    path = f"/tasks/{http.task(type='story')['id']}/events"
    with http.stream("GET", path) as answer:
        seen = next(e["id"] for e in events(answer.iter_lines()) if e["event"] == "log")
    gate.open.set()
    with http.stream("GET", path, headers={"Last-Event-ID": seen}) as answer:
        logs = [e["data"]["text"] for e in events(answer.iter_lines()) if e["event"] == "log"]
    assert logs == ["upon a time", "the end"]


def test_many_follow_one_job(http: Http, app: Mainspring) -> None:
    id = http.task(delay="1h")["id"]
    with (
        http.stream("GET", f"/tasks/{id}/events") as one,
        http.stream("GET", f"/tasks/{id}/events") as other,
    ):
        streams = [events(one.iter_lines()), events(other.iter_lines())]
        assert [kinds([next(stream)]) for stream in streams] == [["scheduled"]] * 2
        app.cancel(id)
        assert [kinds(list(stream)) for stream in streams] == [["cancelled"]] * 2


def test_a_job_that_is_deleted_ends_its_stream(http: Http, app: Mainspring) -> None:
    id = http.task(delay="1h")["id"]
    with http.stream("GET", f"/tasks/{id}/events") as answer:
        stream = events(answer.iter_lines())
        assert next(stream)["event"] == "state"
        app.delete(id)
        assert [event["event"] for event in stream] == ["deleted"]


def test_a_server_that_stops_ends_streams_and_waits(
    server: Running, http: Http, app: Mainspring
) -> None:
    id = http.task(delay="1h")["id"]
    with http.stream("GET", f"/tasks/{id}/events") as answer:
        stream = events(answer.iter_lines())
        assert next(stream)["event"] == "state"
        server.stop()
        assert list(stream) == []


def test_nothing_to_follow_is_not_found(http: Http) -> None:
    http.told(404, "GET", "/tasks/nope/events")


def test_of_very_many_jobs_that_are_followed_each_tells_its_own(
    http: Http, app: Mainspring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not all of them are read at each look then."""
    monkeypatch.setattr(watch, "MANY", 2)
    monkeypatch.setattr(watch, "PAGE", 2)
    ids = [http.task(delay="1h")["id"] for _ in range(6)]
    with ExitStack() as stack:
        answers = [stack.enter_context(http.stream("GET", f"/tasks/{id}/events")) for id in ids]
        streams = [events(answer.iter_lines()) for answer in answers]
        assert [kinds([next(stream)]) for stream in streams] == [["scheduled"]] * 6
        for id in ids[:3]:
            app.cancel(id)
        app.delete(ids[3])
        assert [kinds(list(stream)) for stream in streams[:3]] == [["cancelled"]] * 3
        assert [event["event"] for event in streams[3]] == ["deleted"]
        app.cancel(*ids[4:])
        assert [kinds(list(stream)) for stream in streams[4:]] == [["cancelled"]] * 2
