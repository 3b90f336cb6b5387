"""Presence: understood whatever the version of the worker that told it."""

import msgspec

from mainspring.store import Member, Presence, Wanted

FIRST = {"id": "w", "host": "h", "pid": 1, "started": 2, "state": "running", "slots": 3, "busy": 1}
"""What the first workers told."""


def test_what_an_older_worker_tells_is_understood() -> None:
    told = msgspec.msgpack.decode(msgspec.msgpack.encode(FIRST), type=Presence)
    assert (told.id, told.slots, told.busy) == ("w", 3, 1)
    assert (told.utilisation, told.last, told.members, told.slowest) == (0.0, "", (), None)


def test_what_a_newer_worker_tells_is_understood_as_far_as_it_is_known() -> None:
    member = {"pid": 5, "kind": "shared", "state": "ready", "mood": "good"}
    newer = FIRST | {"members": [member], "weather": "fine"}
    told = msgspec.msgpack.decode(msgspec.msgpack.encode(newer), type=Presence)
    assert told.members == (Member(pid=5, kind="shared", state="ready"),)


def test_of_what_is_wanted_only_what_was_said_is_written() -> None:
    assert msgspec.json.encode(Wanted()) == b"{}"
    assert msgspec.json.encode(Wanted(paused=False)) == b'{"paused":false}'
