"""Synap's streams: rooms of events, whose offsets have no holes."""

import json
import threading
from typing import Any

from mainspring import Mainspring
from mainspring.server.synap import streams
from mainspring.store import Store
from tests.server.synap.conftest import Wire


def said(event: dict[str, Any]) -> Any:
    return json.loads(bytes(event["data"]))


def test_events_come_in_order_from_any_offset(synap: Wire) -> None:
    assert synap.told("stream.create", room="chat") == {"success": True, "room": "chat"}
    for n in range(5):
        told = synap.told("stream.publish", room="chat", event="said", data={"n": n})
        assert told == {"offset": n, "room": "chat"}
    told = synap.told("stream.consume", room="chat", subscriber_id="s")
    assert [(e["offset"], e["room"], e["event"], said(e)) for e in told["events"]] == [
        (n, "chat", "said", {"n": n}) for n in range(5)
    ]
    event = told["events"][0]
    assert event.keys() == {"id", "offset", "room", "event", "data", "timestamp", "metadata"}
    assert told["next_offset"] == 5
    told = synap.told("stream.consume", room="chat", subscriber_id="s", from_offset=2, limit=2)
    assert [said(e)["n"] for e in told["events"]] == [2, 3]
    assert told["next_offset"] == 4
    told = synap.told("stream.consume", room="chat", subscriber_id="s", from_offset=5)
    assert told == {"events": [], "next_offset": 5}


def test_a_room_is_made_once(synap: Wire) -> None:
    assert synap.told("stream.get_or_create", room="a")["created"] is True
    assert synap.told("stream.get_or_create", room="a")["created"] is False
    assert synap.refused("stream.create", room="a") == "Invalid request: Room 'a' already exists"
    synap.told("stream.create", room="b")
    assert synap.told("stream.list") == {"rooms": ["a", "b"], "count": 2}


def test_a_room_that_is_not_there_is_told(synap: Wire) -> None:
    words = "Invalid request: Room 'none' not found"
    assert synap.refused("stream.publish", room="none", event="e", data=1) == words
    assert synap.refused("stream.consume", room="none", subscriber_id="s") == words
    assert synap.refused("stream.stats", room="none") == words
    assert synap.refused("stream.delete", room="none") == words


def test_the_stats_of_a_room(synap: Wire) -> None:
    synap.told("stream.create", room="a")
    before = synap.told("stream.stats", room="a")
    assert (before["message_count"], before["min_offset"], before["max_offset"]) == (0, 0, 0)
    for n in range(3):
        synap.told("stream.publish", room="a", event="e", data=n)
    synap.told("stream.consume", room="a", subscriber_id="s", limit=2)
    stats = synap.told("stream.stats", room="a")
    assert stats.pop("created_at") > 0
    assert stats.pop("generation")
    assert stats == {
        "name": "a", "message_count": 3, "min_offset": 0, "max_offset": 2, "subscriber_count": 1,
        "total_published": 3, "total_consumed": 2, "dropped": 0,
    }  # fmt: skip


def test_a_room_that_was_deleted_begins_anew(synap: Wire) -> None:
    synap.told("stream.create", room="a")
    synap.told("stream.publish", room="a", event="e", data="old", metadata={"by": "me"})
    assert synap.told("stream.delete", room="a") == {"success": True, "deleted": "a"}
    assert synap.told("stream.list") == {"rooms": [], "count": 0}
    synap.told("stream.create", room="a")
    assert synap.told("stream.consume", room="a", subscriber_id="s")["events"] == []
    assert synap.told("stream.publish", room="a", event="e", data="new")["offset"] == 0


def test_a_room_keeps_so_many_events_and_tells_which(synap: Wire, app: Mainspring) -> None:
    synap.told("stream.get_or_create", room="a", max_events=10)
    for n in range(25):
        synap.told("stream.publish", room="a", event="e", data=n)
    events = synap.told("stream.consume", room="a", subscriber_id="s")["events"]
    assert [said(event) for event in events] == list(range(15, 25))
    stats = synap.told("stream.stats", room="a")
    assert (stats["message_count"], stats["min_offset"], stats["max_offset"]) == (10, 15, 24)
    for n in range(25, 201):
        synap.told("stream.publish", room="a", event="e", data=n)
    assert len(app.store.kv_scan(streams.EVENTS)) == 11


def test_publishers_at_the_same_time_leave_no_hole(synap: Wire) -> None:
    synap.told("stream.create", room="a")
    offsets: list[int] = []

    def publish(name: str) -> None:
        for n in range(20):
            told = synap.told("stream.publish", room="a", event="e", data=[name, n])
            offsets.append(told["offset"])

    threads = [threading.Thread(target=publish, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(offsets) == list(range(80))
    events = synap.told("stream.consume", room="a", subscriber_id="s")["events"]
    for name in "abcd":
        assert [n for who, n in map(said, events) if who == name] == list(range(20))


def test_an_event_whose_publisher_went_away_halfway_takes_its_offset(
    synap: Wire, app: Mainspring
) -> None:
    """In a store of several stores an event can be written before the head knows of it."""
    synap.told("stream.create", room="a")
    synap.told("stream.publish", room="a", event="e", data="first")
    store: Store = app.store
    [head] = store.kv_scan(streams.ROOMS)
    synap.told("stream.publish", room="a", event="e", data="halfway")
    [moved] = store.kv_scan(streams.ROOMS)
    store.kv_set([streams.Put(head.key, head.value, expected=moved.version)])
    events = synap.told("stream.consume", room="a", subscriber_id="s")["events"]
    assert [said(event) for event in events] == ["first"]
    assert synap.told("stream.publish", room="a", event="e", data="third")["offset"] == 2
    events = synap.told("stream.consume", room="a", subscriber_id="s")["events"]
    assert [said(event) for event in events] == ["first", "halfway", "third"]


def test_the_paths_do_the_same(synap: Wire) -> None:
    assert synap.rest("POST", "/stream/a") == {"success": True, "room": "a"}
    synap.rest("POST", "/stream/a", status=400)
    created = {"success": True, "room": "a", "created": False}
    assert synap.rest("PUT", "/stream/a") == created
    told = synap.rest("POST", "/stream/a/publish", {"event": "e", "data": {"n": 1}})
    assert told == {"offset": 0, "room": "a"}
    told = synap.rest("GET", "/stream/a/consume/s?from_offset=0&limit=10")
    assert [said(event) for event in told["events"]] == [{"n": 1}]
    assert synap.rest("GET", "/stream/a/stats")["total_published"] == 1
    assert synap.rest("GET", "/stream/list") == {"rooms": ["a"], "count": 1}
    assert synap.rest("DELETE", "/stream/a") == {"success": True, "room": "a"}
    synap.rest("GET", "/stream/a/stats", status=400)
