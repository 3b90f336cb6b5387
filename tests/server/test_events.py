"""What happens to a job, as a stream of events."""

from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import json

from mainspring import Mainspring
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
