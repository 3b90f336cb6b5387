"""The command check-deploy: which waiting jobs could new code not run?"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from mainspring.cli.options import Place, command
from mainspring.cli.tables import counted, table
from mainspring.errors import InvalidArguments, MainspringError
from mainspring.job import MESSAGE, Record, Select
from mainspring.operations import BUSY
from mainspring.store import Store

if TYPE_CHECKING:
    from mainspring.app import Mainspring
    from mainspring.task import Task

PAGE = 1000
MOST_NUMBERS = 5
"""Jobs named for each reason."""

MOST_REASONS = 20
"""Reasons told for each task: an upgrade may put a value of the job into its error."""

OTHERS = "other reasons"


@dataclass
class Trouble:
    """Why jobs of one version of a task would not run, how many they are, and the newest."""

    task: str
    version: int
    reason: str
    jobs: int = 0
    numbers: list[int] = field(default_factory=list)

    def add(self, job: Record) -> None:
        """One more, older than those before."""
        self.jobs += 1
        if len(self.numbers) < MOST_NUMBERS:
            self.numbers.append(job.number)


class Survey:
    """What new code could do with the jobs it is shown; nothing is run but upgrades."""

    def __init__(self, app: "Mainspring") -> None:
        self.looked_at = self.left_to_consumers = 0
        self._tasks = app.tasks
        self._by_hand = {queue.name for queue in app.store.queues() if queue.by_hand}
        self._mistakes = {
            task: told for task in dict.fromkeys(app.tasks.values()) if (told := _mistake(task))
        }
        self._found: dict[str, dict[tuple[int, str], Trouble]] = {}

    @property
    def mistakes(self) -> list[str]:
        """Declarations with which no worker could begin."""
        return list(self._mistakes.values())

    @property
    def troubles(self) -> list[Trouble]:
        """Why jobs would not run, by task, the most frequent reason first."""
        found = [trouble for of_task in self._found.values() for trouble in of_task.values()]
        return sorted(found, key=lambda trouble: (trouble.task, -trouble.jobs))

    def look_at(self, job: Record) -> None:
        """Find out whether this job would run."""
        self.looked_at += 1
        task = self._tasks.get(job.task)
        if task is None and (job.task == MESSAGE or job.queue in self._by_hand):
            self.left_to_consumers += 1
        elif reason := self._reason(job, task):
            known, version = self._found.setdefault(job.task, {}), job.policy.version
            if (version, reason) not in known and len(known) >= MOST_REASONS:
                reason = OTHERS
            known.setdefault((version, reason), Trouble(job.task, version, reason)).add(job)

    def _reason(self, job: Record, task: "Task[..., Any] | None") -> str:
        """Why the job would not run; nothing if it would."""
        if task is None:
            return "unknown task"
        if task in self._mistakes:
            return self._mistakes[task]
        try:
            task.decode(job.payload, job.policy.version)
        except MainspringError as error:
            return str(error).removeprefix(f"{task.name}: ")
        except (Exception, SystemExit) as error:
            return f"an upgrade raised {type(error).__name__}: {error}"
        return ""


@command
@click.option("--limit", type=click.IntRange(1), help="Look at the newest so many jobs only.")
def check_deploy(place: Place, limit: int | None) -> int:
    """Tell which unfinished jobs the code of --app could not run.

    For each, the task is looked up, its payload upgraded and validated as it
    would be for a run; no function of a task is called. Exit code 1 if there
    are any.
    """
    if place.configuration().app is None:
        raise InvalidArguments("--app: expected the new code's app, as module:object, got none")
    with place.app(declared=True) as app:
        survey = Survey(app)
        for job in islice(_unfinished(app.store), limit):
            survey.look_at(job)
        left = _left(app, survey.looked_at) if survey.looked_at == limit else 0
    value = {
        "looked_at": survey.looked_at,
        "not_looked_at": left,
        "left_to_consumers": survey.left_to_consumers,
        "would_not_run": [asdict(trouble) for trouble in survey.troubles],
        "mistakes": survey.mistakes,
    }
    place.answer(value, lambda: _text(survey, left))
    return 1 if survey.troubles or survey.mistakes else 0


def _unfinished(store: Store) -> Iterator[Record]:
    """All unfinished jobs, the newest first."""
    page = store.find(Select(states=BUSY), limit=PAGE)
    while page:
        yield from page
        page = store.find(Select(states=BUSY), limit=PAGE, after=page[-1].number)


def _left(app: "Mainspring", looked_at: int) -> int:
    """How many unfinished jobs there are besides."""
    there = sum(states.get(state, 0) for states in app.counts().values() for state in BUSY)
    return max(0, there - looked_at)


def _mistake(task: "Task[..., Any]") -> str:
    try:
        task.resolve()
    except MainspringError as error:
        return str(error)
    return ""


def _text(survey: Survey, left: int) -> str:
    troubles = survey.troubles
    lines = list(survey.mistakes)
    would_not = sum(trouble.jobs for trouble in troubles)
    fate = f"{would_not:,} would not run" if would_not else "all would run"
    lines.append(f"{counted(survey.looked_at, 'unfinished job')}: {fate}.")
    if survey.left_to_consumers:
        lines.append(f"{counted(survey.left_to_consumers, 'message')} left to consumers.")
    if left:
        lines.append(f"{counted(left, 'older job')} not looked at.")
    if troubles:
        rows = [(each.task, each.version, each.jobs, _some(each), each.reason) for each in troubles]
        lines.append(table(("task", "version", "jobs", "which", "why"), rows))
    return "\n".join(lines)


def _some(trouble: Trouble) -> str:
    told = " ".join(f"#{number}" for number in trouble.numbers)
    return f"{told} …" if trouble.jobs > len(trouble.numbers) else told
