"""check-deploy: which waiting jobs new code could not run."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from mainspring import Mainspring, Tasks
from tests.cli.conftest import URL, Cli

NEW = """
from pathlib import Path

from mainspring import Mainspring, Tasks

tasks = Tasks()


@tasks.task(version=2, runs_in="process")
def mail(to: str, subject: str) -> None:
    Path("called").touch()


@mail.upgrade(from_=1)
def with_a_subject(old):
    return {"to": old["to"], "subject": "Hello"}


@tasks.task(aliases=["count"])
async def sum_up(numbers: list[int]) -> int:
    Path("called").touch()
    return sum(numbers)


@tasks.batch()
def index(words: list[str]) -> None:
    Path("called").touch()


app = Mainspring("sqlite:///jobs.db", tasks)
"""


def deploy(code: str) -> str:
    """The code as a module; what to say behind --app."""
    name = f"new_{uuid4().hex}"
    Path(f"{name}.py").write_text(code)
    return f"{name}:app"


@pytest.fixture
def old() -> Iterator[Mainspring]:
    """An app as it was before."""
    tasks = Tasks()

    @tasks.task
    def mail(to: str) -> None: ...

    @tasks.task
    def count(numbers: list[int]) -> None: ...

    @tasks.batch()
    def index(words: list[str]) -> None: ...

    @tasks.task
    def removed() -> None: ...

    with Mainspring(URL, tasks) as app:
        yield app


def test_jobs_in_every_state_that_the_new_code_can_run_are_no_trouble(
    cli: Cli, old: Mainspring
) -> None:
    first = old.enqueue("mail", {"to": "ada@example.org"})
    old.enqueue("mail", {"to": "bob@example.org"}, depends_on=[first])
    old.enqueue("count", {"numbers": [1, 2]}, delay="1h")
    old.enqueue("index", "word")
    said = cli("--app", deploy(NEW), "check-deploy")
    assert (said.code, said.out) == (0, "4 unfinished jobs: all would run.\n")
    assert not Path("called").exists()


def test_what_the_new_code_cannot_run_is_told_by_task_with_numbers_and_the_reason(
    cli: Cli, old: Mainspring
) -> None:
    unknown = [old.enqueue("removed") for _ in range(7)]
    old.enqueue("mail", {"to": "ada"})
    with Mainspring(URL) as plain:
        nameless = plain.enqueue("mail", {"name": "ada"})
        misfit = plain.enqueue("sum_up", {"numbers": ["a"]}, delay="1h")
    newer = Tasks()
    with Mainspring(URL, newer) as app:
        too_new = app.enqueue(newer.task(name="index", version=3)(_anything).job())
    said = cli("--app", deploy(NEW), "check-deploy", "--json")
    assert said.code == 1
    assert said.json["looked_at"] == 11
    assert said.json["mistakes"] == []
    told = [(t["task"], t["version"], t["jobs"], t["reason"]) for t in said.json["would_not_run"]]
    assert told == [
        ("index", 3, 1, "version 3 is newer than the task's, 1"),
        ("mail", 1, 1, "an upgrade raised KeyError: 'to'"),
        ("removed", 1, 7, "unknown task"),
        ("sum_up", 1, 1, "numbers[0]: expected `int`, got `str`"),
    ]
    numbers = {trouble["task"]: trouble["numbers"] for trouble in said.json["would_not_run"]}
    assert numbers == {
        "index": [too_new.number],
        "mail": [nameless.number],
        "removed": [job.number for job in reversed(unknown)][:5],
        "sum_up": [misfit.number],
    }
    text = cli("--app", deploy(NEW), "check-deploy").out
    assert text.startswith("11 unfinished jobs: 10 would not run.\n")
    assert f"#{unknown[-1].number} #{unknown[-2].number}" in text


def _anything() -> None: ...


def test_jobs_that_have_ended_do_not_count(cli: Cli, old: Mainspring) -> None:
    old.cancel(old.enqueue("removed").id)
    assert cli("--app", deploy(NEW), "check-deploy", "--json").json["looked_at"] == 0


def test_a_running_job_may_have_to_run_again(cli: Cli, old: Mainspring) -> None:
    old.enqueue("removed")
    message = old.queue("default").consume()
    assert message is not None
    said = cli("--app", deploy(NEW), "check-deploy", "--json")
    assert [trouble["reason"] for trouble in said.json["would_not_run"]] == ["unknown task"]
    message.release()


def test_messages_are_left_to_their_consumers(cli: Cli, old: Mainspring) -> None:
    old.queue("inbox").publish("hello")
    old.queue("inbox").publish("hello", task="greeting")
    said = cli("--app", deploy(NEW), "check-deploy")
    assert said.code == 0
    assert said.out.endswith("2 messages left to consumers.\n")


def test_with_a_limit_only_the_newest_jobs_are_looked_at(cli: Cli, old: Mainspring) -> None:
    old.enqueue("removed")
    for _ in range(3):
        old.enqueue("index", "word")
    said = cli("--app", deploy(NEW), "check-deploy", "--limit", "3", "--json")
    assert said.code == 0
    assert (said.json["looked_at"], said.json["not_looked_at"]) == (3, 1)
    said = cli("--app", deploy(NEW), "check-deploy", "--limit", "3")
    assert said.out.endswith("1 older job not looked at.\n")
    assert cli("--app", deploy(NEW), "check-deploy", "--limit", "4").code == 1


def test_more_than_a_page_of_jobs_is_looked_at_each_once(cli: Cli, old: Mainspring) -> None:
    index, removed = old.tasks["index"], old.tasks["removed"]
    old.enqueue_many([removed.job() if n % 2 else index.job("word") for n in range(2001)])
    said = cli("--app", deploy(NEW), "check-deploy", "--json")
    assert said.json["looked_at"] == 2001
    assert [trouble["jobs"] for trouble in said.json["would_not_run"]] == [1000]


def test_reasons_that_differ_from_job_to_job_are_not_all_told(cli: Cli, old: Mainspring) -> None:
    code = NEW.replace('return {"to"', 'raise ValueError(old["to"]); return {"to"')
    for n in range(30):
        old.enqueue("mail", {"to": str(n)})
    said = cli("--app", deploy(code), "check-deploy", "--json")
    troubles = said.json["would_not_run"]
    assert troubles[0]["reason"] == "other reasons"
    assert sum(trouble["jobs"] for trouble in troubles) == 30
    assert len(troubles) == 21


def test_a_declaration_with_which_no_worker_could_begin_is_told_too(
    cli: Cli, old: Mainspring
) -> None:
    old.enqueue("index", "word")
    code = NEW.replace("words: list[str]", "words: 'list[Missing]'")
    said = cli("--app", deploy(code), "check-deploy", "--json")
    assert said.code == 1
    [mistake] = said.json["mistakes"]
    assert "cannot evaluate the annotation 'list[Missing]'" in mistake
    [trouble] = said.json["would_not_run"]
    assert (trouble["task"], trouble["jobs"], trouble["reason"]) == ("index", 1, mistake)
    assert "cannot evaluate the annotation" in cli("--app", deploy(code), "check-deploy").out


def test_it_needs_an_app_and_a_store(cli: Cli) -> None:
    said = cli("--url", URL, "check-deploy")
    assert (said.code, said.err) == (
        2,
        "mainspring: --app: expected the new code's app, as module:object, got none\n",
    )
    said = cli("--app", deploy(NEW), "check-deploy")
    assert said.code == 69
    assert "no such file yet" in said.err
