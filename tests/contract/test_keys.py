"""Keys and the audit, kept among the entries of every engine, where no program sees them."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from msgspec import Struct

from mainspring.audit import Audit, Deed
from mainspring.cells import BEHIND_OWN, OWN, Put
from mainspring.engines import open_store
from mainspring.keys import WRITTEN, Keys, Permission
from mainspring.kv import KeyValue
from mainspring.move import copy
from mainspring.store import Store

pytestmark = pytest.mark.usefixtures("own_entries")


class Home(Struct):
    """As much of an app as these need."""

    store: Store
    max_payload: int = 1_000_000


def deed(n: int) -> Deed:
    return Deed(at=datetime.now(UTC), name="n", what=f"POST /{n}", status=200, after={"n": n})


def test_a_key_is_kept_until_it_is_revoked_and_known_ever_after(store: Store) -> None:
    keys = Keys(Home(store))
    assert not keys.exist()
    made = keys.create("n", ["work", "read"], only=["mail*"], expires="1d")
    found = WRITTEN.fullmatch(made.key)
    assert found
    lock = keys.lock(found[1])
    assert lock is not None
    assert lock.opens_to(found[2])
    assert not lock.opens_to(found[2][:-1])
    assert lock.permissions == (Permission.READ, Permission.WORK)
    keys.mark(made.id)
    [listed] = keys.list()
    assert listed.used is not None
    gone = keys.revoke(made.id)
    assert keys.revoke(made.id) == gone
    assert [key.revoked for key in keys.list()] == [gone.revoked]
    assert keys.exist()


def test_programs_see_nothing_of_what_is_not_theirs(store: Store) -> None:
    Keys(Home(store)).create("n", ["read"])
    Audit(Home(store)).add(deed(1))
    store.kv_set([Put(" ", b"1"), Put("a", b"2")])
    kv = KeyValue(Home(store))
    assert [entry.key for entry in kv.scan()] == [" ", "a"]
    assert [entry.key for entry in kv.scan("a")] == ["a"]
    assert len(store.kv_scan(OWN)) == 2
    assert [cell.key for cell in store.kv_scan(after=BEHIND_OWN)] == [" ", "a"]


def test_what_was_done_is_told_in_its_order(store: Store) -> None:
    audit = Audit(Home(store))
    for n in range(5):
        audit.add(deed(n))
    told = list(audit.since("1h"))
    assert [each.after for each in told] == [{"n": n} for n in range(5)]
    assert all(before.at <= after.at for before, after in pairwise(told))
    assert list(audit.since(datetime.now(UTC) + timedelta(seconds=5))) == []


def test_keys_move_along_with_all_else(store: Store) -> None:
    Keys(Home(store)).create("n", ["read"])
    Audit(Home(store)).add(deed(1))
    target = open_store("sqlite://:memory:")
    copied = copy(store, target)
    assert (copied.entries, copied.wrong) == (2, ())
    assert Keys(Home(target)).list() == Keys(Home(store)).list()
    assert list(Audit(Home(target)).since()) == list(Audit(Home(store)).since())
    target.close()
