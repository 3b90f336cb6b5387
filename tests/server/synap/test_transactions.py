"""Synap's transactions: writes that wait for their exec, and happen together or not at all."""

import threading

from mainspring import Mainspring
from mainspring.server.terms import Terms
from tests.server.conftest import Running
from tests.server.synap.conftest import Wire

T = {"client_id": "t-1"}
STARTED = {"success": True, "message": "Transaction started"}
QUEUED = {"success": True, "queued": True}
ABORTED = {"aborted": True, "message": "Transaction aborted: watched keys changed"}


def test_what_is_queued_happens_at_exec_in_its_order(synap: Wire) -> None:
    synap.told("kv.set", key="old", value="x")
    assert synap.told("transaction.multi", **T) == STARTED
    assert synap.told("kv.set", key="a", value={"n": 1}, **T) == QUEUED
    assert synap.told("kv.incr", key="n", amount=5, **T) == QUEUED
    assert synap.told("kv.decr", key="n", amount=2, **T) == QUEUED
    assert synap.told("kv.del", key="old", **T) == QUEUED
    assert synap.told("kv.del", key="none", **T) == QUEUED
    assert synap.told("kv.get", key="a") is None
    assert synap.told("transaction.exec", **T) == {
        "success": True,
        "results": [{"ok": True}, {"value": 5}, {"value": 3}, {"deleted": 1}, {"deleted": 0}],
    }
    assert synap.told("kv.mget", keys=["a", "n", "old"]) == {"values": [{"n": 1}, 3, None]}
    assert synap.told("kv.keys") == {"keys": ["a", "n"], "count": 2}


def test_a_write_under_another_id_or_none_does_not_wait(synap: Wire) -> None:
    synap.told("transaction.multi", **T)
    assert synap.told("kv.set", key="a", value=1) == {"success": True}
    assert synap.told("kv.set", key="b", value=1, client_id="t-2") == {"success": True}
    assert synap.told("kv.dbsize") == {"size": 2}


def test_an_exec_does_nothing_if_a_watched_entry_has_changed(synap: Wire) -> None:
    for command, fields in (
        ("kv.set", {"key": "w", "value": 2}),
        ("kv.del", {"key": "w"}),
        ("kv.set", {"key": "new", "value": 2}),
    ):
        synap.told("kv.set", key="w", value=1)
        synap.told("kv.del", key="new")
        synap.told("transaction.multi", **T)
        assert synap.told("transaction.watch", keys=["w", "new"], **T)["success"]
        synap.told("kv.set", key="a", value=1, **T)
        synap.told(command, **fields)
        assert synap.told("transaction.exec", **T) == ABORTED
        assert synap.told("kv.get", key="a") is None


def test_an_exec_happens_if_no_watched_entry_has_changed(synap: Wire) -> None:
    synap.told("kv.set", key="w", value=1, ttl=60)
    synap.told("transaction.watch", keys=["w", "none"], **T)
    synap.told("transaction.multi", **T)
    synap.told("kv.set", key="a", value=1, **T)
    assert synap.told("transaction.exec", **T) == {"success": True, "results": [{"ok": True}]}
    assert synap.told("kv.keys") == {"keys": ["a", "w"], "count": 2}
    assert 58 <= synap.told("kv.ttl", key="w")["ttl"] <= 60


def test_what_is_unwatched_may_change(synap: Wire) -> None:
    synap.told("transaction.multi", **T)
    synap.told("transaction.watch", keys=["w"], **T)
    assert synap.told("transaction.unwatch", **T) == {"success": True, "message": "Keys unwatched"}
    synap.told("kv.set", key="w", value=2)
    assert synap.told("transaction.exec", **T) == {"success": True, "results": []}
    assert synap.told("transaction.unwatch", **T)["success"]


def test_what_was_discarded_does_not_happen(synap: Wire) -> None:
    synap.told("transaction.multi", **T)
    synap.told("kv.set", key="a", value=1, **T)
    told = synap.told("transaction.discard", **T)
    assert told == {"success": True, "message": "Transaction discarded"}
    assert synap.told("kv.get", key="a") is None
    assert synap.refused("transaction.exec", **T) == "Invalid request: No transaction in progress"


def test_what_makes_no_sense_is_refused(synap: Wire) -> None:
    none = "Invalid request: No transaction in progress"
    assert synap.refused("transaction.exec", **T) == none
    assert synap.refused("transaction.discard", **T) == none
    synap.told("transaction.multi", **T)
    again = "Invalid request: Transaction already in progress"
    assert synap.refused("transaction.multi", **T) == again
    empty = "Invalid request: Keys list cannot be empty"
    assert synap.refused("transaction.watch", keys=[], **T) == empty
    assert "Missing 'keys'" in synap.refused("transaction.watch", **T)


def test_a_step_that_fails_leaves_everything_as_it_was(synap: Wire) -> None:
    synap.told("kv.set", key="text", value="x")
    synap.told("transaction.multi", **T)
    synap.told("kv.set", key="a", value=1, **T)
    synap.told("kv.incr", key="text", **T)
    assert synap.refused("transaction.exec", **T).startswith("Invalid value: ")
    assert synap.told("kv.get", key="a") is None
    assert synap.refused("transaction.exec", **T).endswith("No transaction in progress")


def test_a_transaction_goes_on_at_another_server(
    synap: Wire, server: Running, app: Mainspring
) -> None:
    with Mainspring(app.url) as second:
        other = Running(second, Terms(synap=True))
        with Wire(base_url=f"http://127.0.0.1:{other.port}") as there:
            synap.told("transaction.multi", **T)
            assert there.told("kv.set", key="a", value=1, **T) == QUEUED
            assert synap.told("transaction.exec", **T)["results"] == [{"ok": True}]
            assert there.told("kv.get", key="a") == "1"
        other.stop()


def test_of_transfers_at_the_same_time_none_is_lost(synap: Wire) -> None:
    synap.told("kv.set", key="from", value=100)

    def transfer(client: str) -> None:
        for n in range(5):
            id = f"{client}-{n}"
            synap.told("transaction.multi", client_id=id)
            synap.told("kv.decr", key="from", client_id=id)
            synap.told("kv.incr", key="to", client_id=id)
            synap.told("transaction.exec", client_id=id)

    threads = [threading.Thread(target=transfer, args=(f"c{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert synap.told("kv.mget", keys=["from", "to"]) == {"values": [80, 20]}


def test_the_paths_do_the_same(synap: Wire) -> None:
    assert synap.rest("POST", "/transaction/multi", T) == STARTED
    synap.told("kv.set", key="a", value=1, **T)
    synap.rest("POST", "/transaction/watch", {"keys": ["a"], **T})
    synap.rest("POST", "/transaction/unwatch", T)
    assert synap.rest("POST", "/transaction/exec", T)["results"] == [{"ok": True}]
    synap.rest("POST", "/transaction/discard", T, status=400)
