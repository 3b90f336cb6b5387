"""What commands share: the place they work on, kinds of options, and how they answer."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from stat import S_ISDIR
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import unquote
from uuid import UUID

import click

from mainspring.durations import microseconds
from mainspring.errors import (
    ConfigError,
    InvalidArguments,
    MainspringError,
    StoreUnavailable,
    UnknownJob,
)
from mainspring.job import State
from mainspring.settings import Configuration, load

if TYPE_CHECKING:
    from mainspring.app import Mainspring
    from mainspring.operations import Affected

C = TypeVar("C", bound=Callable[..., Any])


class Place:
    """Where a command works: what the command line says, and the app that follows from it."""

    def __init__(self, *, url: str | None, app: str | None) -> None:
        self._said: dict[str, Any] = {"url": url, "app": app}
        self.as_json = False

    def say(self, **more: str | None) -> "Place":
        """The same with a command's own `--url` and `--app`, which beat those before it."""
        self._said.update({name: value for name, value in more.items() if value is not None})
        return self

    def configuration(self, **arguments: Any) -> Configuration:
        """All settings; `arguments` are the command's own."""
        return load({**self._said, **arguments})

    def store_settings(self, **arguments: Any) -> Configuration:
        """The same, `url` being None where the app is to be asked for its own.

        An app enqueues to its own URL: what merely surrounds the command must not make it look
        elsewhere. Only a URL that somebody typed beats it.
        """
        settings = self.configuration(**arguments)
        if settings.app is None or settings.origins.get("url") == "--url":
            return settings
        return replace(settings, url=None)

    def said_url(self) -> str | None:
        """The URL of the command line alone."""
        settings = self.configuration()
        return settings.url if settings.origins.get("url") == "--url" else None

    @contextmanager
    def app(self, *, new: bool = False, declared: bool = False) -> Iterator["Mainspring"]:
        """An app over the configured store, open for the block.

        Without `new` the store must be there. The configured app is imported unless a URL was
        typed, or with `declared`, for its tasks; else there are no tasks.
        """
        from mainspring.app import Mainspring

        settings = self.store_settings()
        user = None
        if settings.app and (declared or settings.url is None):
            user = load_app(settings, settings.app)
        if user and settings.url is None:
            app = user
        else:
            tasks = [user.tasks] if user else []
            with blame("url", settings):
                key = settings.api_key
                app = (
                    Mainspring(settings.url, *tasks, api_key=key) if settings.url else Mainspring()
                )
        with app:
            refuse_unreachable(app.url, new=new, said=bool(user or settings.url))
            with blame("url", settings):
                app.store  # noqa: B018 - opens it, or says why not, before the command begins
            yield app

    def answer(self, value: object, text: str | Callable[[], str]) -> None:
        """Print the one answer of a command: `value` with `--json`, else the text."""
        if self.as_json:
            import msgspec

            click.echo(msgspec.json.encode(value))
        else:
            click.echo(text if isinstance(text, str) else text())


def load_app(settings: Configuration, source: str) -> "Mainspring":
    """The user's app. Whatever importing it raises becomes one line."""
    from mainspring.worker.child.process import load as load_program

    add_here()
    with blame("app", settings):
        try:
            return cast("Mainspring", load_program(source))
        except MainspringError:
            raise
        except (Exception, SystemExit) as error:
            told = f"{type(error).__name__}: {error}"
            raise ConfigError(f"app: {source!r} cannot be imported: {told}") from error


def add_here() -> None:
    """Let modules in the current folder be imported, as `python -m` does and a script does not."""
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)


@contextmanager
def blame(setting: str, settings: Configuration) -> Iterator[None]:
    """Make a wrong configuration wrong usage if the setting came from the command line."""
    try:
        yield
    except ConfigError as error:
        if settings.origins.get(setting, "").startswith("--"):
            raise InvalidArguments(str(error)) from error
        raise


def refuse_unreachable(url: str, *, new: bool, said: bool) -> None:
    """`StoreUnavailable` if no file can be where the URL says, or, without `new`, if none is
    there: looking must not make it. `said`: somebody named the store."""
    file = database_file(url)
    if file is None:
        return
    try:
        if S_ISDIR(file.stat().st_mode):
            raise StoreUnavailable(f"{file}: expected a file, got a folder")
    except (FileNotFoundError, NotADirectoryError):
        if not file.parent.is_dir():
            raise StoreUnavailable(f"{file}: there is no such folder") from None
        if not new:
            advice = (
                "a worker or an enqueue makes it" if said else "which store? say --url or --app"
            )
            raise StoreUnavailable(f"{file}: no such file yet; {advice}") from None
    except OSError as error:
        raise StoreUnavailable(f"{file}: {error.strerror}") from None


def database_file(url: str) -> Path | None:
    """The file of an SQLite URL, None for any other."""
    scheme, _, rest = url.partition(":///")
    place = unquote(rest.partition("?")[0])
    return Path(place).absolute() if scheme == "sqlite" and place != ":memory:" and place else None


def place_options(function: C) -> C:
    """Adds `--url` and `--app`."""
    url = click.option(
        "--url",
        "--queue-url",
        metavar="URL",
        help='Where the jobs are: "sqlite:///jobs.db", or "env:NAME" for what a variable says.',
    )
    app = click.option("--app", metavar="MODULE:OBJECT", help="The app that declares the tasks.")
    return url(app(function))


def command(function: Callable[..., int | None]) -> click.Command:
    """A command with the options all have; the function gets the `Place` first.

    What it returns is the exit code, None being 0.
    """

    @click.pass_obj
    @wraps(function)
    def within(
        place: Place, /, *, url: str | None, app: str | None, as_json: bool, **options: Any
    ) -> int | None:
        place.as_json = as_json
        return function(place.say(url=url, app=app), **options)

    return click.command()(place_options(json_option(within)))


def json_option(function: C) -> C:
    """Adds --json."""
    return click.option("--json", "as_json", is_flag=True, help="Answer with one JSON value.")(
        function
    )


def job_id(value: str) -> UUID | int:
    """An option that is a job: its id, or its number as tables show it, with or without "#"."""
    number = value.removeprefix("#")
    if number.isdecimal() and len(number) < 19:
        return int(number)
    try:
        return UUID(value)
    except ValueError:
        raise click.BadParameter(
            f"expected a job's id (a UUID) or its number, got {value!r}"
        ) from None


def id_of(app: "Mainspring", job: UUID | int) -> UUID:
    """The id of a job that is given by id or number; `UnknownJob` if none has that number."""
    if isinstance(job, UUID):
        return job
    for found in app.find(limit=1, older_than=job + 1):
        if found.number == job:
            return found.id
    raise UnknownJob(f"no job has the number {job}")


def duration(value: str) -> str:
    """An option that is a duration; kept as it was written."""
    try:
        microseconds(value)
    except InvalidArguments as error:
        raise click.BadParameter(str(error).partition(": ")[2]) from None
    return value


STATES = click.Choice([state.value for state in State])


def filter_options(function: C) -> C:
    """Adds filters; the function gets those that were given, as `app.find` takes them."""

    @wraps(function)
    def within(*args: Any, **options: Any) -> Any:
        names = ("states", "queues", "tasks", "tags")
        given = {name: options.pop(name) for name in names}
        filter = {name: values for name, values in given.items() if values}
        return function(*args, filter=filter, **options)

    for name, kind in (("tag", None), ("task", None), ("queue", None), ("state", STATES)):
        text = f"Only of this {name}; may be repeated."
        option = click.option(f"--{name}", f"{name}s", type=kind, multiple=True, help=text)
        within = option(within)
    return cast(C, within)


def yes_option(function: C) -> C:
    """Adds `--yes` for commands that change many jobs at once."""
    return click.option("--yes", is_flag=True, help="Do not ask before changing many jobs.")(
        function
    )


def host_option(function: C) -> C:
    """Adds `--host` for commands about workers."""
    return click.option("--host", metavar="HOST", help="All workers on this host.")(function)


def confirmed(question: str, yes: bool) -> bool:
    """Whether to go on: asks a person at a terminal, believes a script."""
    if yes or not sys.stdin.isatty():
        return True
    return click.confirm(question, err=True)


def affected(place: Place, done: str, outcome: "Affected", asked: Sequence[UUID] = ()) -> int:
    """Tell what became of a selection; exit code 1 if anything asked for was not done."""
    refused = told_refused(outcome, asked)
    ids = [str(id) for id in outcome.ids]
    place.answer({done: ids, "refused": refused}, f"{len(ids):,} {done}")
    return 1 if refused else 0


def told_refused(outcome: "Affected", asked: Sequence[UUID]) -> dict[str, str]:
    """Which jobs were not changed, and why; also told on stderr."""
    refused = {str(id): why for id, why in outcome.refused.items()}
    refused |= {str(id): "no such job" for id in {*asked} - {*outcome.ids, *outcome.refused}}
    for id, why in refused.items():
        click.echo(f"{id}: {why}", err=True)
    return refused
