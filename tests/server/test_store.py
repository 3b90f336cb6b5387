"""The store's verbs over HTTP: each needs its permission, and of names that a key does not know
nothing is seen, whatever is asked."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from mainspring import Mainspring
from mainspring.cells import OWN, Add, Put
from mainspring.durations import DAY
from mainspring.engines.http.store import HttpStore
from mainspring.errors import (
    InvalidArguments,
    KeyRefused,
    PayloadTooLarge,
    QueueFull,
    UniqueTaken,
    UnknownDependency,
    VersionConflict,
)
from mainspring.job import Edge, JobError, Now, Policy, Select, State, Succeeded
from mainspring.lifecycle import decide
from mainspring.posts import NewPost
from mainspring.retry import Backoff
from mainspring.server.routes.store import PERMISSIONS
from mainspring.store import Claim, Grant, Note, Presence, Settings, Traffic, Wanted
from mainspring.verbs import VERBS, encode
from tests.contract.stage import ids, new
from tests.server.conftest import Http, Running, asked_of

Reach = Callable[..., HttpStore]

GRANT = Grant(token=7, worker="w", lease=60_000_000)
CLAIM = Claim(grant=GRANT, limit=10, slots=10)
MINE, THEIRS = "mail.out", "images"


@pytest.fixture
def reach(app: Mainspring, server: Running) -> Iterator[Reach]:
    """The store as one with such a key sees it."""
    opened: list[HttpStore] = []

    def reach(*permissions: str, only: tuple[str, ...] = ()) -> HttpStore:
        key = app.keys.create("somebody", permissions, only=only).key
        store = HttpStore(f"http://127.0.0.1:{server.port}", key)
        store.open()
        opened.append(store)
        return store

    yield reach
    for store in opened:
        store.close()


@pytest.fixture
def some(reach: Reach) -> HttpStore:
    """Everything may be done, with names that begin with "mail"."""
    return reach("admin", only=("mail*",))


# --- who may do what -----------------------------------------------------------------------------


def test_every_verb_that_crosses_needs_a_permission() -> None:
    assert PERMISSIONS.keys() == VERBS.keys()


def test_a_verb_is_refused_to_those_without_its_permission(app: Mainspring, http: Http) -> None:
    for verb, permission in PERMISSIONS.items():
        others = {"read", "enqueue", "work"} - {permission}
        key = app.keys.create("somebody", others).key
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/msgpack"}
        told = http.told(403, "POST", f"/store/{verb}", headers=headers, content=b"\x90")
        assert permission in told["detail"], verb
        http.told(401, "POST", f"/store/{verb}", content=b"\x90")


def test_a_key_that_is_not_known_or_not_there_is_refused_when_the_store_is_opened(
    app: Mainspring, server: Running
) -> None:
    url = f"http://127.0.0.1:{server.port}"
    revoked = app.keys.create("somebody", ["work"])
    app.keys.revoke(revoked.id)
    for key in (None, revoked.key, "ms_nothing"):
        with pytest.raises(KeyRefused, match="expected a key"):
            HttpStore(url, key).open()


def test_who_may_anything_may_listen(app: Mainspring, reach: Reach) -> None:
    for permission in ("read", "enqueue", "work"):
        signal = reach(permission).listen()
        while signal.wait(0.1):
            pass
        app.store.insert([new()])
        assert signal.wait(20)
        signal.close()


def test_who_only_reads_is_not_told_by_which_token_a_job_is_held(
    app: Mainspring, reach: Reach
) -> None:
    app.store.insert([job := new()])
    app.store.exchange([], CLAIM)
    for permissions, tokens in ((("read",), {None}), (("read", "work"), {None, 7})):
        store = reach(*permissions)
        [got], [found] = store.get([job.id]), store.find(Select())
        assert got
        assert {got.token, found.token} <= tokens


def test_who_only_enqueues_may_bring_what_is_there_already(
    app: Mainspring, server: Running
) -> None:
    key = app.keys.create("shop", ["enqueue"]).key
    with Mainspring(f"http://127.0.0.1:{server.port}", api_key=key) as shop:
        first = shop.enqueue("echo", 1, unique="k")
        again = shop.enqueue("echo", 1, unique="k")
        assert (again.id, again.duplicate) == (first.id, True)
        with pytest.raises(KeyRefused, match="expected a key with read"):
            first.refresh()


def test_what_operators_change_is_written_down_and_what_they_look_at_is_not(
    app: Mainspring, reach: Reach
) -> None:
    store = reach("admin")
    app.store.insert([job := new(payload=b'"private"')])
    store.configure("default", Settings(paused=True))
    store.check()
    pages = store.dump()
    store.cancel(Select(ids=(job.id,)), "no more")
    store.restore(pages)
    deeds = list(app.audit.since("1m"))
    assert [deed.what for deed in deeds] == [
        f"POST /store/{verb}" for verb in ("configure", "cancel", "restore")
    ]
    assert [deed.after for deed in deeds] == [
        {"queue": "default", "paused": True},
        {"ids": [job.id.hex()], "reason": "no more"},
        {"dossiers": 1},
    ]


# --- what comes in -------------------------------------------------------------------------------

ODD: list[dict[str, Any]] = [
    {"id": b"short"},
    {"task": ""},
    {"task": "a\nb"},
    {"queue": "x" * 256},
    {"priority": 101},
    {"delay": -1},
    {"run_at": 2**62},
    {"expires": -5},
    {"unique_for": -1},
    {"key": ""},
    {"unique": "x" * 1001},
    {"label": "\0"},
    {"tags": ("",)},
    {"headers": {"a": "\0"}},
    {"edges": (Edge(b"x"),)},
    {"payload": b"{"},
    {"payload": b"[" * 5000 + b"]" * 5000},
    {"policy": Policy(timeout=-1)},
    {"policy": Policy(version=0)},
    {"policy": Policy(Backoff(max_retries=-1))},
    {"policy": Policy(Backoff(factor=float("nan")))},
    {"policy": Policy(Backoff(kind="list"))},
    {"policy": Policy(Backoff(max_delay=31 * DAY))},
]


@pytest.mark.parametrize("options", ODD, ids=lambda options: str(options)[:40])
def test_a_job_that_the_library_would_not_have_made_is_refused(
    app: Mainspring, reach: Reach, options: dict[str, Any]
) -> None:
    store = reach("enqueue")
    with pytest.raises(InvalidArguments):
        store.insert([new(), new(**options)])
    assert app.counts() == {}


def test_a_payload_beyond_what_the_server_takes_is_refused(reach: Reach) -> None:
    with pytest.raises(PayloadTooLarge, match="1,000,000 bytes, got 1,000,002"):
        reach("enqueue").insert([new(payload=b'"%b"' % (b"x" * 1_000_000))])


def test_nobody_says_what_time_it_is(reach: Reach) -> None:
    with pytest.raises(InvalidArguments, match="now: expected none"):
        reach("enqueue").insert([new()], now=Now(1, 1))


def test_a_worker_cannot_ask_for_what_no_worker_asks_for(app: Mainspring, reach: Reach) -> None:
    store = reach("work")
    app.store.insert([new()])
    [job] = app.store.exchange([], CLAIM).jobs
    end, me = (
        decide(job, Succeeded()),
        Presence(id="w", host="h", pid=1, started=1, state="running"),
    )
    long = JobError(attempt=1, type="E", message="x" * 200_001)
    odd: list[Callable[[], object]] = [
        lambda: store.exchange([], replace(CLAIM, grant=replace(GRANT, lease=8 * DAY))),
        lambda: store.exchange([], replace(CLAIM, limit=1001)),
        lambda: store.exchange([replace(end, error=long)]),
        lambda: store.heartbeat(me, [], 1, [Note(1, 7, 1, long.message)]),
        lambda: store.heartbeat(replace(me, tasks=("x" * 1000,) * 1001), [], 1),
        lambda: store.reclaim(GRANT, 1001),
        lambda: store.exchange([replace(end, to=State.RUNNING)]),
        lambda: store.exchange([replace(end, took=-1)]),
        lambda: store.reclaim(replace(GRANT, worker="\n"), 1),
        lambda: store.upkeep(1001),
    ]
    for ask in odd:
        with pytest.raises(InvalidArguments):
            ask()
    assert app.counts()["default"]["running"] == 1


ODD_ENTRIES: list[Callable[[HttpStore], object]] = [
    lambda store: store.kv_set([Put("", b"1")]),
    lambda store: store.kv_set([Put("a\nb", b"1")]),
    lambda store: store.kv_set([Put("\u20ac" * 1000, b"1")]),
    lambda store: store.kv_set([Put("a", b"{")]),
    lambda store: store.kv_set([Put("a", b"1", -1)]),
    lambda store: store.kv_set([Put("a", b"1", None, -1)]),
    lambda store: store.kv_add([Add("\0", 1)]),
    lambda store: store.kv_add([Add("a", 2**63)]),
    lambda store: store.kv_touch(["a"], 0),
]


@pytest.mark.parametrize("ask", ODD_ENTRIES)
def test_an_entry_that_the_library_would_not_have_made_is_refused(
    app: Mainspring, reach: Reach, ask: Callable[[HttpStore], object]
) -> None:
    store = reach("enqueue")
    with pytest.raises(InvalidArguments):
        ask(store)
    with pytest.raises(PayloadTooLarge, match="1,000,000 bytes, got 1,000,002"):
        store.kv_set([Put("a", b'"%b"' % (b"x" * 1_000_000))])
    assert list(app.kv.scan()) == []


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"\xc1", 400), (b"\x91\x01", 422), (b"\x80", 422), (b"\x91" * 3000, 422)],
    ids=["nothing", "no msgpack", "no list of jobs", "an object", "too deep"],
)
def test_what_is_no_call_is_refused(http: Http, body: bytes, status: int) -> None:
    headers = {"Content-Type": "application/msgpack"}
    answer = http.post("/store/insert", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert http.told(415, "POST", "/store/insert", json={})


def test_a_call_beyond_its_size_is_refused_before_it_is_read(server: Running) -> None:
    head = (
        b"POST /store/insert HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/msgpack\r\n"
        b"Content-Length: 64000001\r\n\r\n"
    )
    told = asyncio.run(asked_of(server.port, head))
    assert told.startswith(b"HTTP/1.1 413 ")


def test_errors_cross_with_what_they_hold(app: Mainspring, reach: Reach) -> None:
    store = reach("enqueue", "read")
    app.store.insert([holder := new(unique="k")])
    with pytest.raises(UniqueTaken) as taken:
        store.insert([new(unique="k", on_duplicate="error")])
    assert taken.value.holder == holder.id
    app.store.kv_set([Put("a", b"1")])
    [cell] = app.store.kv_get(["a"])
    assert cell
    with pytest.raises(VersionConflict) as conflict:
        store.kv_set([Put("a", b"2", expected=0)])
    told = conflict.value
    assert (told.key, told.expected, told.found) == ("a", 0, cell.version)
    app.store.configure("narrow", Settings(max_depth=1))
    with pytest.raises(QueueFull) as full:
        store.insert([new(queue="narrow"), new(queue="narrow")])
    assert full.value.queue == "narrow"


# --- what a key for some names sees --------------------------------------------------------------


def test_jobs_elsewhere_are_not_there(app: Mainspring, some: HttpStore) -> None:
    mine, theirs = new(queue=MINE), new(queue=THEIRS)
    app.store.insert([mine, theirs])
    assert [job.id if job else None for job in some.get([mine.id, theirs.id])] == [mine.id, None]
    assert ids(some.find(Select())) == [mine.id]
    assert some.find(Select(queues=(THEIRS,))) == []
    assert some.counts().keys() == {MINE}
    assert [queue.name for queue in some.queues()] == [MINE]
    assert (some.position(mine.id), some.position(theirs.id)) == (1, None)
    assert some.history(theirs.id) == []
    assert some.logs(theirs.id) == []
    assert some.traffic(MINE).depth == 1
    assert some.traffic(THEIRS) == Traffic()
    assert [each.job.id for each in some.dump()] == [mine.id]


def test_jobs_elsewhere_cannot_be_changed(app: Mainspring, some: HttpStore) -> None:
    mine, theirs = new(queue=MINE), new(queue=THEIRS)
    app.store.insert([mine, theirs])
    for selected in (Select(ids=(theirs.id,)), Select(queues=(THEIRS,))):
        for verb in (some.cancel, some.delete, some.replay):
            assert verb(selected).ids == ()
    assert some.cancel(Select()).ids == (mine.id,)
    assert some.delete(Select()).ids == (mine.id,)
    assert app.counts()[THEIRS]["pending"] == 1
    with pytest.raises(KeyRefused, match=r"expected a queue called mail\*, got 'images'"):
        some.configure(THEIRS, Settings(paused=True))
    with pytest.raises(KeyRefused):
        some.restore(app.store.dump())


def test_nothing_is_brought_elsewhere(app: Mainspring, some: HttpStore) -> None:
    app.store.insert([parent := new(queue=THEIRS), holder := new(queue=THEIRS, unique="k")])
    with pytest.raises(KeyRefused):
        some.insert([new(queue=MINE), new(queue=THEIRS)])
    with pytest.raises(UnknownDependency):
        some.insert([new(queue=MINE).after(parent)])
    for how in ("return", "error"):
        with pytest.raises(UniqueTaken) as taken:
            some.insert([new(queue=MINE, unique="k", on_duplicate=how)])
        assert taken.value.holder != holder.id
        assert UUID(bytes=holder.id).hex not in str(taken.value).replace("-", "")
    with pytest.raises(KeyRefused, match="a unique key may be held in any of them"):
        some.insert([new(queue=MINE, unique="k", on_duplicate="replace")])
    assert MINE not in app.counts()
    some.insert([first := new(queue=MINE), new(queue=MINE).after(first)])


def test_a_claim_takes_from_queues_that_are_known(app: Mainspring, some: HttpStore) -> None:
    mine, theirs = new(queue=MINE), new(queue=THEIRS)
    app.store.insert([theirs, mine])
    assert some.exchange([], replace(CLAIM, queues=(THEIRS,))).jobs == []
    assert ids(some.exchange([], CLAIM).jobs) == [mine.id]
    assert ids(some.held([7])) == [mine.id]
    app.store.exchange([], replace(CLAIM, grant=replace(GRANT, token=8)))
    assert some.held([8]) == []


def test_one_of_many_jobs_that_are_held_together_opens_no_way_to_the_others(
    app: Mainspring, some: HttpStore
) -> None:
    mine, theirs = new(queue=MINE), new(queue=THEIRS)
    app.store.insert([mine, theirs])
    app.store.exchange([], CLAIM)
    [found], [got], [kept] = some.find(Select()), some.get([mine.id]), some.dump()
    assert (found.token, got and got.token) == (None, None)
    assert kept.job.id == mine.id
    assert ids(some.exchange([], replace(CLAIM, queues=(MINE,))).jobs) == [mine.id]


def test_what_is_held_elsewhere_is_not_given_to_who_knows_its_token(
    app: Mainspring, some: HttpStore
) -> None:
    app.store.insert([new(queue=THEIRS)])
    app.store.exchange([], CLAIM)
    assert some.exchange([], replace(CLAIM, queues=(MINE,))).jobs == []


def test_what_a_worker_elsewhere_lost_is_settled_and_not_shown(
    app: Mainspring, some: HttpStore
) -> None:
    mine, theirs = new(queue=MINE), new(queue=THEIRS)
    app.store.insert([mine, theirs])
    app.store.exchange([], replace(CLAIM, grant=replace(GRANT, lease=1)))
    taken = some.reclaim(replace(GRANT, token=9), 10)
    assert ids(taken) == [mine.id]
    [record] = app.store.get([theirs.id])
    assert record
    assert (record.state, record.reason) == (State.RETRYING, "worker lost")


def test_workers_elsewhere_are_not_there(app: Mainspring, some: HttpStore) -> None:
    for name, queues in (("mine", (MINE,)), ("theirs", (THEIRS,)), ("all", ())):
        told = Presence(id=name, host="h", pid=1, started=1, state="running", queues=queues)
        app.store.heartbeat(told, [], 60_000_000)
    assert [each.id for each in some.workers()] == ["mine"]
    assert some.instruct(["mine", "theirs", "all"], Wanted(paused=True)) == ["mine"]
    with pytest.raises(KeyRefused):
        some.heartbeat(replace(told, queues=(THEIRS,)), [], 60_000_000)
    for state in ("running", "stopped"):
        with pytest.raises(KeyRefused, match="a worker"):
            some.heartbeat(replace(told, id="theirs", state=state), [], 60_000_000)
    some.heartbeat(replace(told, id="mine", queues=(MINE,)), [], 60_000_000)
    assert {each.id for each in app.store.workers()} == {"mine", "theirs", "all"}


def test_of_the_whole_store_only_is_told_how_it_is_kept_and_whether_it_is_broken(
    app: Mainspring, some: HttpStore, reach: Reach, tmp_path: Path
) -> None:
    all = reach("admin")
    assert all.health().figures
    assert replace(all.health(), figures={}, warnings=()) == replace(some.health(), warnings=())
    app.store.insert([new(queue=THEIRS, expires=1) for _ in range(4)])
    assert (some.upkeep(), some.check(), all.check()) == (0, [], [])
    with closing(sqlite3.connect(tmp_path / "jobs.db")) as damaged, damaged:
        damaged.execute("UPDATE meter SET n = n + 1 WHERE queue > 0")
    assert THEIRS in str(all.check())
    assert some.check() == ["something is broken: a key for all names is told what"]


def test_entries_elsewhere_are_not_there(app: Mainspring, some: HttpStore) -> None:
    app.store.kv_set([Put("mail.a", b"1"), Put("other", b"2"), Put("mail.b", b"3")])
    assert [cell and cell.value for cell in some.kv_get(["other", "mail.a"])] == [None, b"1"]
    assert [cell.key for cell in some.kv_scan(limit=2)] == ["mail.a", "mail.b"]
    assert some.kv_touch(["other", "mail.a"], None) == [False, True]
    assert some.kv_delete(["other", "mail.a"]) == 1
    for write in (
        lambda: some.kv_set([Put("other", b"1")]),
        lambda: some.kv_add([Add("other", 1)]),
    ):
        with pytest.raises(KeyRefused):
            write()
    assert [cell.key for cell in some.kv_scan()] == ["mail.b"]


def test_posts_elsewhere_are_not_heard(app: Mainspring, some: HttpStore) -> None:
    app.store.post([NewPost(topic, b"1") for topic in (MINE, THEIRS) * 150])
    page = some.posts({}, limit=200)
    assert {each.topic for each in page.posts} == {MINE}
    assert len(page.posts) == 150
    with pytest.raises(KeyRefused):
        some.post([NewPost(THEIRS, b"1")])


def test_the_product_s_own_entries_cross_for_nobody(app: Mainspring, reach: Reach) -> None:
    store = reach("admin")
    own = app.store.kv_scan(OWN)[0]
    assert store.kv_scan(OWN) == []
    assert store.kv_scan() == []
    assert store.kv_get([own.key]) == [None]
    assert store.kv_delete([own.key]) == 0
    with pytest.raises(KeyRefused):
        store.kv_set([Put(own.key, b"1")])
    assert len(app.keys.list()) == 1


def test_what_would_not_fit_into_one_answer_comes_in_several(
    app: Mainspring, http: Http, reach: Reach
) -> None:
    large = b'"%b"' % (b"x" * 900_000)
    app.store.insert([new(payload=large) for _ in range(12)])
    app.store.kv_set([Put(f"k{n:02}", large) for n in range(12)])
    store = reach("admin")
    assert [job.number for job in store.find(Select())] == list(range(12, 0, -1))
    assert [each.number for each in store.dump()] == list(range(1, 13))
    assert [cell.key for cell in store.kv_scan()] == [f"k{n:02}" for n in range(12)]
    assert [job.number for job in store.find(Select(), limit=10)] == list(range(12, 2, -1))
    headers = {"Authorization": f"Bearer {app.keys.create('k', ['admin']).key}"}
    headers["Content-Type"] = "application/msgpack"
    for verb, arguments in (("find", (Select(),)), ("dump", ()), ("kv_scan", ())):
        answer = http.post(f"/store/{verb}", content=encode(arguments), headers=headers)
        assert answer.status_code == 206
        assert 8_000_000 < len(answer.content) < 9_000_000


def test_any_number_may_be_asked_for_and_a_server_tells_a_part_at_a_time(
    app: Mainspring, http: Http, reach: Reach
) -> None:
    many = [new(queue=MINE) for _ in range(1010)]
    app.store.insert([*many, new(queue=THEIRS)])
    for store in (reach("admin"), reach("admin", only=("mail*",))):
        assert len(store.find(Select(queues=(MINE,)), limit=10**6)) == 1010
        assert len(store.find(Select(queues=(MINE,)), limit=1005)) == 1005
        assert len(store.dump(limit=10**6)) >= 1010
        found = store.get([each.id for each in many])
        assert [each and each.id for each in found] == [each.id for each in many]
        assert store.kv_get([f"k{n}" for n in range(250)]) == [None] * 250
    headers = {"Authorization": f"Bearer {app.keys.create('k', ['read']).key}"}
    headers["Content-Type"] = "application/msgpack"
    for body in (encode(([each.id for each in many[:101]],)), encode(([b"x" * 16] * 2,))):
        http.told(422, "POST", "/store/get", content=body, headers=headers)


def test_what_is_named_twice_is_told_once(app: Mainspring, http: Http, reach: Reach) -> None:
    app.store.insert([job := new(), other := new()])
    store = reach("read")
    again = store.get([job.id, other.id, job.id])
    assert [each and each.id for each in again] == [job.id, other.id, job.id]
    assert again[0] is not again[2]
    app.kv.set("k", 1)
    key = app.keys.create("k", ["read"]).key
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/msgpack"}
    for verb, names in (("get", [job.id] * 2), ("kv_get", ["k"] * 2)):
        body = encode((names,))
        told = http.told(422, "POST", f"/store/{verb}", content=body, headers=headers)
        assert "expected each of them once" in told["detail"]
