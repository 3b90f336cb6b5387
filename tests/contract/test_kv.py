"""Key-value: what is written is there until its time has come; versions, counters, pages."""

import itertools
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from mainspring.cells import Add, Cell, Put
from mainspring.durations import HOUR, LATEST, MINUTE, SECOND
from mainspring.engines import open_store
from mainspring.errors import InvalidArguments, NotInteger, VersionConflict
from mainspring.job import Now, State
from mainspring.store import Store
from tests.contract.conftest import Engine
from tests.contract.stage import Stage, Time
from tests.contract.test_races import all_at_once

MOST = 2**63 - 1
RUNS, STEPS = 10, 30


def keep(stage: Stage, key: str, value: bytes = b"1", **options: Any) -> int:
    [version] = stage.store.kv_set([Put(key, value, **options)], now=stage.now)
    return version


def kept(stage: Stage, key: str) -> Cell | None:
    [cell] = stage.store.kv_get([key], now=stage.now)
    return cell


def value(stage: Stage, key: str) -> bytes | None:
    cell = kept(stage, key)
    return None if cell is None else cell.value


def add(stage: Stage, key: str, by: int, ttl: int | None = None) -> int:
    [total] = stage.store.kv_add([Add(key, by, ttl)], now=stage.now)
    return total


def keys(stage: Stage, *prefix: str, **page: Any) -> list[str]:
    return [cell.key for cell in stage.store.kv_scan(*prefix, now=stage.now, **page)]


def test_what_is_written_is_there_and_the_rest_is_not(stage: Stage) -> None:
    versions = stage.store.kv_set([Put("b", b"2"), Put("a", b"1", ttl=HOUR)], now=stage.now)
    assert stage.store.kv_get(["a", "none", "b", "a"], now=stage.now) == [
        Cell("a", b"1", versions[1], stage.now.wall + HOUR),
        None,
        Cell("b", b"2", versions[0]),
        Cell("a", b"1", versions[1], stage.now.wall + HOUR),
    ]


@pytest.mark.parametrize("data", [b"", b"\0\xff\0", bytes(1_000_000)], ids=["none", "some", "many"])
def test_a_value_is_any_bytes(stage: Stage, data: bytes) -> None:
    keep(stage, "k", data)
    assert value(stage, "k") == data


@pytest.mark.parametrize("key", ["x" * 1000, "é" * 1000, "🙂" * 500, "a b'%_[(*?\\", "🙂é"])
def test_a_key_is_any_text(stage: Stage, key: str) -> None:
    keep(stage, key)
    assert value(stage, key) == b"1"
    assert keys(stage, key[:-1]) == [key]
    assert stage.store.kv_delete([key], now=stage.now) == 1


def test_keys_that_differ_only_in_case_or_accents_are_different(stage: Stage) -> None:
    for n, key in enumerate(
        ("a", "A", "á", "a\N{COMBINING ACUTE ACCENT}", "a ", "\N{FULLWIDTH LATIN SMALL LETTER A}")
    ):
        keep(stage, key, b"%d" % n)
    assert value(stage, "a") == b"0"
    assert len(keys(stage)) == 6


def test_an_entry_is_replaced_with_its_end(stage: Stage) -> None:
    keep(stage, "k", b"1", ttl=SECOND)
    keep(stage, "k", b"2")
    stage.passes("1h")
    assert value(stage, "k") == b"2"


def test_versions_grow_and_none_is_used_twice(stage: Stage) -> None:
    seen = [keep(stage, "k"), keep(stage, "k"), keep(stage, "other")]
    add(stage, "k", 1)
    seen += [kept(stage, "k").version]  # type: ignore[union-attr]
    stage.store.kv_delete(["k"], now=stage.now)
    seen += [keep(stage, "k", ttl=SECOND)]
    stage.passes("2s")
    stage.tidy()
    seen += [keep(stage, "k")]
    assert seen == sorted(set(seen))
    assert seen[0] > 0


# --- compare and set ------------------------------------------------------------------------------


def test_a_write_may_want_the_version_that_was_read(stage: Stage) -> None:
    first = keep(stage, "k", b"1")
    second = keep(stage, "k", b"2", expected=first)
    with pytest.raises(VersionConflict) as caught:
        keep(stage, "k", b"3", expected=first)
    error = caught.value
    assert (error.key, error.expected, error.found) == ("k", first, second)
    assert kept(stage, "k") == Cell("k", b"2", second)


def test_a_write_may_want_that_nothing_is_there(stage: Stage) -> None:
    version = keep(stage, "k", b"1", expected=0)
    with pytest.raises(VersionConflict) as caught:
        keep(stage, "k", b"2", expected=0)
    assert (caught.value.expected, caught.value.found) == (0, version)
    assert value(stage, "k") == b"1"


def test_a_version_of_what_is_gone_is_not_there(stage: Stage) -> None:
    version = keep(stage, "k", ttl=SECOND)
    stage.passes("1s")
    with pytest.raises(VersionConflict) as caught:
        keep(stage, "k", expected=version)
    assert caught.value.found == 0
    with pytest.raises(VersionConflict):
        keep(stage, "never", expected=7)
    assert keys(stage) == []


def test_of_several_writes_all_happen_or_none(stage: Stage) -> None:
    version = keep(stage, "a", b"old")
    wrong = [Put("a", b"new", expected=version), Put("b", b"new"), Put("c", b"new", expected=9)]
    with pytest.raises(VersionConflict):
        stage.store.kv_set(wrong, now=stage.now)
    assert [value(stage, key) for key in "abc"] == [b"old", None, None]
    assert kept(stage, "a").version == version  # type: ignore[union-attr]


# --- time to live ---------------------------------------------------------------------------------


def test_an_entry_is_there_until_its_time_has_come_and_not_after(stage: Stage) -> None:
    keep(stage, "k", ttl=SECOND)
    stage.time.wall += SECOND - 1
    assert value(stage, "k") == b"1"
    stage.time.wall += 1
    assert kept(stage, "k") is None
    assert keys(stage) == []
    assert stage.store.kv_touch(["k"], HOUR, now=stage.now) == [False]
    assert stage.store.kv_delete(["k"], now=stage.now) == 0


def test_what_is_over_is_as_if_it_had_never_been(stage: Stage) -> None:
    for key in "ab":
        keep(stage, key, b"5", ttl=SECOND)
    stage.passes("1s")
    assert add(stage, "a", 1) == 1
    keep(stage, "b", b"6", expected=0)
    stage.passes("1h")
    stage.tidy()
    assert (value(stage, "a"), value(stage, "b")) == (b"1", b"6")


def test_upkeep_removes_what_is_over_in_slices(stage: Stage) -> None:
    stage.store.kv_set([Put(f"k{n}", b"", ttl=SECOND) for n in range(25)], now=stage.now)
    keep(stage, "later", ttl=MINUTE)
    keep(stage, "always")
    assert stage.store.upkeep(10, now=stage.now) == 0
    stage.passes("1s")
    assert [stage.store.upkeep(10, now=stage.now) for _ in range(4)] == [10, 10, 5, 0]
    assert keys(stage) == ["always", "later"]


def test_touch_moves_the_end_and_nothing_else(stage: Stage) -> None:
    version = keep(stage, "k", b"1", ttl=SECOND)
    assert stage.store.kv_touch(["k", "none"], MINUTE, now=stage.now) == [True, False]
    assert kept(stage, "k") == Cell("k", b"1", version, stage.now.wall + MINUTE)
    stage.passes("59s")
    assert stage.store.kv_touch(["k"], None, now=stage.now) == [True]
    stage.passes("1h")
    stage.tidy()
    assert kept(stage, "k") == Cell("k", b"1", version)


def test_a_time_to_live_may_be_as_long_as_times_go(stage: Stage) -> None:
    keep(stage, "k", ttl=LATEST)
    add(stage, "n", 1, LATEST)
    stage.store.kv_touch(["k"], LATEST, now=stage.now)
    assert kept(stage, "k").expires == LATEST  # type: ignore[union-attr]
    assert kept(stage, "n").expires == LATEST  # type: ignore[union-attr]


# --- counters -------------------------------------------------------------------------------------


def test_a_counter_begins_at_zero_and_is_a_value_like_others(stage: Stage) -> None:
    assert [add(stage, "n", 1), add(stage, "n", 41), add(stage, "n", -50)] == [1, 42, -8]
    assert value(stage, "n") == b"-8"
    keep(stage, "n", b"10")
    assert stage.store.kv_add([Add("n", 5), Add("m", -1)], now=stage.now) == [15, -1]


def test_a_counter_that_is_there_goes_when_it_was_to_go(stage: Stage) -> None:
    add(stage, "n", 1, ttl=MINUTE)
    stage.passes("30s")
    add(stage, "n", 1, ttl=MINUTE)
    stage.passes("30s")
    assert add(stage, "n", 1) == 1
    stage.passes("1h")
    assert add(stage, "n", 1) == 2


def test_a_counter_holds_64_bits_and_no_more(stage: Stage) -> None:
    assert add(stage, "up", MOST) == MOST
    assert add(stage, "up", -1) == MOST - 1
    assert add(stage, "up", 1) == MOST
    assert add(stage, "down", -MOST - 1) == -MOST - 1
    assert add(stage, "down", MOST) == -1
    assert value(stage, "up") == b"%d" % MOST
    for key, by in (("up", 1), ("up", MOST), ("new", MOST + 1)):
        with pytest.raises(NotInteger, match="beyond a signed integer of 64 bits"):
            add(stage, key, by)
    assert value(stage, "up") == b"%d" % MOST
    assert kept(stage, "new") is None


@pytest.mark.parametrize(
    "data",
    [b'"1"', b"1.0", b"\x001", b"", b" 1", b"01", b"-0", b"+1", b"true", b"9223372036854775808"],
)
def test_what_is_no_integer_is_not_added_to(stage: Stage, data: bytes) -> None:
    version = keep(stage, "k", data)
    with pytest.raises(NotInteger, match="key 'k'"):
        stage.store.kv_add([Add("other", 1), Add("k", 1)], now=stage.now)
    assert kept(stage, "k") == Cell("k", data, version)
    assert kept(stage, "other") is None


# --- pages ----------------------------------------------------------------------------------------


def test_a_scan_is_sorted_and_keeps_to_the_prefix(stage: Stage) -> None:
    every = ["A", "a", "a%", "a/1", "a/10", "a/2", "a_", "b", "a/é", "a/\uff5e", "a/🙂", "é"]
    stage.store.kv_set([Put(key, key.encode()) for key in every], now=stage.now)
    assert keys(stage) == sorted(every)
    assert keys(stage, "a/") == ["a/1", "a/10", "a/2", "a/é", "a/\uff5e", "a/🙂"]
    assert keys(stage, "a_") == ["a_"]
    assert keys(stage, "é") == ["é"]
    assert keys(stage, "c") == []
    assert [cell.value.decode() for cell in stage.store.kv_scan("a", now=stage.now)] == keys(
        stage, "a"
    )


def test_a_page_begins_behind_a_key_that_need_not_be_there(stage: Stage) -> None:
    stage.store.kv_set([Put(f"k{n:02}", b"") for n in range(10)], now=stage.now)
    keep(stage, "z")
    assert keys(stage, "k", limit=4) == ["k00", "k01", "k02", "k03"]
    assert keys(stage, "k", after="k03", limit=4) == ["k04", "k05", "k06", "k07"]
    assert keys(stage, "k", after="k07", limit=4) == ["k08", "k09"]
    assert keys(stage, "k", after="k07x") == ["k08", "k09"]
    assert keys(stage, "k", after="a") == [f"k{n:02}" for n in range(10)]
    assert keys(stage, "k", after="z") == []


def test_a_page_is_full_though_many_are_over_between(stage: Stage) -> None:
    stage.store.kv_set(
        [Put(f"k{n:03}", b"", ttl=None if n % 7 == 0 else SECOND) for n in range(100)],
        now=stage.now,
    )
    stage.passes("1s")
    there = [f"k{n:03}" for n in range(0, 100, 7)]
    assert keys(stage, limit=5) == there[:5]
    assert keys(stage, after=there[4], limit=10) == there[5:]
    assert keys(stage, after=there[4], limit=11) == there[5:]


# --- calls ----------------------------------------------------------------------------------------


def test_a_key_named_twice_in_a_write_is_refused(stage: Stage) -> None:
    for verb in (
        lambda: stage.store.kv_set([Put("k", b"1"), Put("k", b"2")]),
        lambda: stage.store.kv_add([Add("k", 1), Add("k", 1)]),
        lambda: stage.store.kv_touch(["k", "k"], 1),
        lambda: stage.store.kv_delete(["k", "k"]),
    ):
        with pytest.raises(InvalidArguments, match="named twice"):
            verb()
    assert kept(stage, "k") is None


def test_nothing_asked_is_nothing_done(stage: Stage) -> None:
    store = stage.store
    assert store.kv_get([]) == store.kv_set([]) == store.kv_add([]) == store.kv_touch([], 1) == []
    assert store.kv_delete([]) == 0


def test_many_keys_go_in_one_call(stage: Stage) -> None:
    names = [f"k{n}" for n in range(2_500)]
    stage.store.kv_set([Put(key, b"1") for key in names], now=stage.now)
    assert stage.store.kv_add([Add(key, 1) for key in names], now=stage.now) == [2] * 2_500
    assert all(stage.store.kv_touch(names, HOUR, now=stage.now))
    assert stage.store.kv_delete([*names, "none"], now=stage.now) == 2_500


def test_entries_and_jobs_leave_each_other_alone(stage: Stage) -> None:
    stage.put()
    keep(stage, "default")
    stage.complete(stage.claim())
    stage.passes("20d")
    stage.tidy()
    assert stage.count(State.COMPLETED) == 0
    assert keys(stage) == ["default"]


def test_the_stores_own_clock_answers_when_no_time_is_given(store: Store) -> None:
    store.kv_set([Put("k", b"1", ttl=HOUR)])
    [cell] = store.kv_get(["k"])
    assert cell is not None
    assert cell.expires is not None
    [before], [after] = (store.kv_get(["k"], now=Now(cell.expires + late, 0)) for late in (-1, 0))
    assert (before, after) == (cell, None)
    assert store.kv_scan() == [cell]


# --- many at once ---------------------------------------------------------------------------------


def test_no_increment_is_lost_between_threads(store: Store) -> None:
    told = all_at_once(4, lambda n: [store.kv_add([Add("n", 1)])[0] for _ in range(50)])
    assert sorted(itertools.chain(*told)) == list(range(1, 201))


def test_one_of_many_wins_a_key_and_each_version(store: Store) -> None:
    def attempt(expected: int) -> Callable[[int], int]:
        def act(n: int) -> int:
            try:
                return store.kv_set([Put("k", b"%d" % n, expected=expected)])[0]
            except VersionConflict:
                return 0

        return act

    version = 0
    for _ in range(10):
        won = [each for each in all_at_once(4, attempt(version)) if each]
        assert len(won) == 1
        [version] = won


def test_writers_of_the_same_keys_in_any_order_are_not_in_each_others_way(store: Store) -> None:
    names = [f"k{n}" for n in range(20)]

    def act(n: int) -> None:
        mine = names if n % 2 else names[::-1]
        for _ in range(10):
            store.kv_add([Add(key, 1) for key in mine])
            store.kv_set([Put(f"own{n}{key}", b"") for key in mine])
            store.kv_delete([f"own{n}{key}" for key in mine])

    all_at_once(4, act)
    assert [cell.value for cell in store.kv_scan() if cell.key in names] == [b"40"] * 20


def counting_process(url: str, start: Any) -> None:
    store = open_store(url)
    start.wait()
    for _ in range(50):
        store.kv_add([Add("n", 1)])
    store.close()


def test_no_increment_is_lost_between_processes(place: str) -> None:
    store = open_store(place)
    fork = multiprocessing.get_context("fork")
    start = fork.Barrier(3)
    processes = [fork.Process(target=counting_process, args=(place, start)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert store.kv_add([Add("n", 1)]) == [151]
    store.close()


def dying_process(url: str) -> None:
    store = open_store(url)
    store.kv_set([Put("k", b"1")])
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_was_answered_is_there_after_its_program_was_killed(place: str) -> None:
    process = multiprocessing.get_context("fork").Process(target=dying_process, args=(place,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    store = open_store(place)
    assert [cell.value for cell in store.kv_scan()] == [b"1"]
    store.close()


def test_what_was_answered_is_there_after_the_store_was_closed(place: str) -> None:
    store = open_store(place)
    [version] = store.kv_set([Put("k", b"1")])
    store.kv_delete(["none"])
    store.close()
    again = open_store(place)
    assert again.kv_get(["k"]) == [Cell("k", b"1", version)]
    assert again.kv_set([Put("other", b"")]) > [version]
    again.close()


# --- any sequence of them -------------------------------------------------------------------------

names = st.sampled_from(("a", "a/b", "b", "é"))
ttls = st.sampled_from((None, None, 3 * SECOND, 10 * SECOND))


class Verbs(RuleBasedStateMachine):
    """Every verb, on a store and on a dictionary."""

    new_store: Callable[[], Store]

    def __init__(self) -> None:
        super().__init__()
        self.stage = Stage(type(self).new_store(), Time())
        self.model: dict[str, Cell] = {}
        self.latest = 0

    def teardown(self) -> None:
        assert self.stage.store.check() == []
        self.stage.store.close()

    def live(self, key: str) -> Cell | None:
        cell = self.model.get(key)
        over = cell is not None and cell.expires is not None and cell.expires <= self.stage.now.wall
        return None if over else cell

    def written(self, key: str, value: bytes, ends: int | None) -> None:
        cell = kept(self.stage, key)
        assert cell is not None
        assert cell.version > self.latest
        self.latest = cell.version
        assert cell == Cell(key, value, cell.version, ends)
        self.model[key] = cell

    def end(self, ttl: int | None) -> int | None:
        return None if ttl is None else self.stage.now.wall + ttl

    @rule(key=names, value=st.sampled_from((b"1", b"-7", b'"x"', b"\0")), ttl=ttls)
    def set(self, key: str, value: bytes, ttl: int | None) -> None:
        keep(self.stage, key, value, ttl=ttl)
        self.written(key, value, self.end(ttl))

    @rule(key=names, expected=st.one_of(st.just(0), names), ttl=ttls)
    def compare_and_set(self, key: str, expected: int | str, ttl: int | None) -> None:
        other = self.live(expected) if isinstance(expected, str) else None
        version, there = other.version if other else 0, self.live(key)
        if version == (there.version if there else 0):
            keep(self.stage, key, b"cas", ttl=ttl, expected=version)
            self.written(key, b"cas", self.end(ttl))
            return
        with pytest.raises(VersionConflict) as caught:
            keep(self.stage, key, b"cas", expected=version)
        assert caught.value.found == (there.version if there else 0)

    @rule(key=names, by=st.sampled_from((1, -3, MOST)), ttl=ttls)
    def increment(self, key: str, by: int, ttl: int | None) -> None:
        there = self.live(key)
        old = there.value if there else b"0"
        if not old.lstrip(b"-").isdigit() or int(old) + by > MOST:
            with pytest.raises(NotInteger):
                add(self.stage, key, by, ttl)
            return
        assert add(self.stage, key, by, ttl) == int(old) + by
        self.written(key, b"%d" % (int(old) + by), there.expires if there else self.end(ttl))

    @rule(key=names, ttl=ttls)
    def touch(self, key: str, ttl: int | None) -> None:
        there = self.live(key)
        assert self.stage.store.kv_touch([key], ttl, now=self.stage.now) == [there is not None]
        if there:
            self.model[key] = Cell(key, there.value, there.version, self.end(ttl))

    @rule(key=names)
    def delete(self, key: str) -> None:
        there = self.live(key) is not None
        assert self.stage.store.kv_delete([key], now=self.stage.now) == there
        self.model.pop(key, None)

    @rule(seconds=st.sampled_from((1, 4, 20)), tidy=st.booleans())
    def pass_time(self, seconds: int, tidy: bool) -> None:
        self.stage.passes(seconds)
        if tidy:
            self.stage.tidy()

    @rule(prefix=st.sampled_from(("", "a", "a/", "c")), limit=st.sampled_from((1, 2, 10)))
    def scan(self, prefix: str, limit: int) -> None:
        expected = [
            cell
            for key in sorted(self.model)
            if key.startswith(prefix) and (cell := self.live(key)) is not None
        ]
        found: list[Cell] = []
        while page := self.stage.store.kv_scan(
            prefix, after=found[-1].key if found else "", limit=limit, now=self.stage.now
        ):
            found += page
        assert found == expected


def test_any_sequence_of_verbs_does_what_a_dictionary_would(engine: Engine, tmp_path: Path) -> None:
    unused = itertools.count()

    def new_store() -> Store:
        folder = tmp_path / str(next(unused))
        folder.mkdir()
        return open_store(engine.url(folder))

    machine = type("Machine", (Verbs,), {"new_store": staticmethod(new_store)})
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=RUNS, stateful_step_count=STEPS, deadline=None),
    )
