"""Over a way that is long, narrow and bad what was answered is there, once; the rest is told."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mainspring import Mainspring, Tasks
from mainspring.cells import Put
from mainspring.engines import open_store
from mainspring.engines.http import lines, store
from mainspring.engines.http.store import HttpStore
from mainspring.errors import StoreUnavailable
from mainspring.events import Bus, LeasesLost
from mainspring.ids import new_token
from mainspring.job import Select, State, Succeeded
from mainspring.lifecycle import decide
from mainspring.store import Claim, Grant, Store
from mainspring.worker.worker import Worker
from tests.contract.stage import new
from tests.server.conftest import Running
from tests.servers.links import BAD, FOREVER, Break, Link, Weather, link

MIDST = [Break("request", 150), Break("answer", 60)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Mainspring, Running]]:
    """A server for all tests of the module, and the store behind it."""
    path = tmp_path_factory.mktemp("links") / "jobs.db"
    with Mainspring(f"sqlite:///{path}", Tasks()) as app:
        running = Running(app)
        yield app, running
        running.stop()


@pytest.fixture
def near(home: tuple[Mainspring, Running]) -> Store:
    """The store behind the server, at hand and empty."""
    app, _ = home
    app.store.cancel(Select())
    app.store.delete(Select())
    return app.store


@pytest.fixture
def way(home: tuple[Mainspring, Running]) -> Iterator[Link]:
    """The way to that server."""
    with link(home[1].port) as way:
        yield way


@pytest.fixture
def far(near: Store, way: Link) -> Iterator[HttpStore]:
    """The store at the other end of it."""
    far = open_store(way.url)
    assert isinstance(far, HttpStore)
    yield far
    far.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call waits half a second to hear something of its answer."""
    monkeypatch.setattr(store, "TIMEOUT", 0.5)
    monkeypatch.setattr(store.HttpStore._call, "__kwdefaults__", {"timeout": 0.5})


@pytest.mark.parametrize("many", [1, 300])
@pytest.mark.parametrize("fault", MIDST)
def test_an_insert_in_whose_midst_the_connection_is_reset_happens_once(
    near: Store, far: HttpStore, way: Link, fault: Break, many: int
) -> None:
    way.breaks = [fault, fault]
    jobs = [new() for _ in range(many)]
    assert [each.id for each in far.insert(jobs)] == [job.id for job in jobs]
    assert len(way.broken) == 2
    assert Counter(job.id for job in near.find(Select(), limit=1000)) == Counter(
        job.id for job in jobs
    )


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", [Break("request", 300, FOREVER), Break("answer", 60, FOREVER)])
def test_an_insert_that_falls_silent_may_have_been_done_and_is_known_when_it_is_repeated(
    near: Store, far: HttpStore, way: Link, fault: Break
) -> None:
    way.breaks = [fault]
    job = new()
    with pytest.raises(StoreUnavailable, match="no answer in time; it may have been done"):
        far.insert([job])
    [stored] = far.insert([job])
    assert stored.repeated == (fault.way == "answer")
    assert [each.id for each in near.find(Select())] == [job.id]


@pytest.mark.usefixtures("impatient")
def test_a_server_that_went_without_a_word_costs_one_call(
    near: Store, far: HttpStore, way: Link
) -> None:
    far.insert([new()])
    way.silence()
    with pytest.raises(StoreUnavailable, match="no answer in time"):
        far.counts()
    assert far.counts()["default"][State.PENDING] == 1


def test_a_call_that_took_long_before_it_broke_is_made_again_all_the_same(
    near: Store, far: HttpStore, way: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "PATIENCE", 0.2)
    way.weather = Weather(rate=100_000)
    way.breaks = [Break("request", 50_000)]
    job = new(payload=b'"%b"' % (b"x" * 60_000))
    far.insert([job])
    assert len(way.broken) == 1
    assert [each.id for each in near.find(Select())] == [job.id]


@pytest.mark.usefixtures("impatient")
def test_a_call_is_given_the_time_that_a_narrow_way_takes_for_it(
    near: Store, far: HttpStore, way: Link
) -> None:
    way.weather = BAD._replace(rate=1_000_000)
    job = new(payload=b'"%b"' % (b"x" * 900_000))
    far.insert([job])
    assert [each.id for each in near.find(Select())] == [job.id]


@pytest.mark.parametrize("fault", MIDST)
def test_a_claim_and_an_end_in_whose_midst_the_connection_is_reset_happen_once(
    near: Store, far: HttpStore, way: Link, fault: Break
) -> None:
    near.insert([new(), new()])
    way.breaks = [fault, fault]
    claim = Claim(grant=Grant(token=new_token(), worker="w", lease=60_000_000), limit=1, slots=1)
    [job] = far.exchange([], claim).jobs
    assert job.attempt == 1
    assert near.counts()["default"][State.RUNNING] == 1
    way.breaks += [fault, fault]
    assert far.exchange([decide(job, Succeeded())]).lost == ()
    assert near.counts()["default"][State.COMPLETED] == 1
    assert len(way.broken) == 4


@pytest.mark.parametrize("fault", MIDST)
def test_a_write_on_a_condition_that_breaks_off_is_told_and_not_made_again(
    near: Store, far: HttpStore, way: Link, fault: Break
) -> None:
    key = f"cell-{fault.way}"
    [version] = far.kv_set([Put(key, b"1", expected=0)])
    way.breaks = [fault._replace(after=60)]
    with pytest.raises(StoreUnavailable, match="it may have been done all the same"):
        far.kv_set([Put(key, b"2", expected=version)])
    [cell] = near.kv_get([key])
    assert cell is not None
    assert cell.value == (b"1" if fault.way == "request" else b"2")


tasks = Tasks()
ran: Counter[int] = Counter()


@tasks.task
def once(n: int) -> int:
    ran[n] += 1
    return n


@tasks.task
def heavy(n: int, fill: str) -> int:
    ran[n] += 1
    return n


@pytest.fixture
def start(way: Link, near: Store) -> Iterator[Callable[..., Bus]]:
    """Starts a worker at the other end of the way; the bus tells its events."""
    ran.clear()
    workers: list[Worker] = []
    programs: list[Mainspring] = []

    def start(**options: Any) -> Bus:
        programs.append(Mainspring(way.url, tasks))
        bus = Bus()
        told = {"url": way.url, "program": programs[-1], "in_process": True, "events": bus}
        workers.append(Worker(**told | options))
        workers[-1].start()
        return bus

    yield start
    for worker in workers:
        worker.stop(0)
    for program in programs:
        program.close()


def test_a_worker_over_a_bad_way_runs_each_job_once(
    near: Store, home: tuple[Mainspring, Running], way: Link, start: Callable[..., Bus]
) -> None:
    app, _ = home
    app.enqueue_many(once.job(n) for n in range(300))
    way.weather = BAD._replace(trouble=0.02, silence=0.5)
    losses: list[LeasesLost] = []
    start(lease="10s").on(LeasesLost, losses.append)
    assert app.wait_until_idle(timeout=50)
    assert near.counts()["default"][State.COMPLETED] == 300
    assert ran == Counter(range(300))
    assert losses == []


def test_a_worker_asks_for_no_more_than_comes_in_time(
    near: Store, home: tuple[Mainspring, Running], way: Link, start: Callable[..., Bus]
) -> None:
    """What comes when its lease is half over goes back, and would so again and again."""
    app, _ = home
    app.enqueue_many(heavy.job(n, "x" * 20_000) for n in range(10))
    way.weather = Weather(rate=300_000)
    start(lease="1s", threads=2)
    assert app.wait_until_idle(timeout=40)
    assert near.counts()["default"][State.COMPLETED] == 10
