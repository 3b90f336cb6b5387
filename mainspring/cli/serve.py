"""The command serve: answers HTTP until it is told to stop."""

import socket

import click

from mainspring.asgi import server
from mainspring.cli.options import Place, blame, command
from mainspring.cli.supervise import Supervisor
from mainspring.errors import InvalidArguments
from mainspring.settings import Configuration
from mainspring.urls import without_password

HOST, PORT = "127.0.0.1", 8700

SERVED_URL = "MAINSPRING_SERVED_URL"
"""Tells the processes their store by a way that shows its password to nobody."""


@command
@click.option("--host", metavar="HOST", help=f"Where to listen; {HOST} by default.")
@click.option("--port", metavar="PORT", help=f"{PORT} by default; 0: any that is free.")
@click.option(
    "--processes",
    "--server-processes",
    "server_processes",
    metavar="N|auto",
    help="Processes that answer on that port; 1 by default. One that dies is replaced.",
)
@click.option("--with-worker", is_flag=True, help="Run a worker, too; needs --app.")
@click.option("--fd", type=int, hidden=True, help="A socket that listens already.")
def serve(place: Place, with_worker: bool, fd: int | None, **arguments: str | None) -> int | None:
    """Answer HTTP: jobs, queues and workers for programs in any language, and for curl.

    Until SIGTERM or Ctrl-C; twice: until now. With --app, payloads of the tasks declared there are
    checked.
    """
    settings = place.store_settings(**arguments)
    if with_worker and settings.app is None:
        raise InvalidArguments('--with-worker: expected --app, such as "shop.jobs:app", got none')
    http = server("serve")
    if fd is not None:
        with socket.socket(fileno=fd) as listener, place.app(new=True, declared=True) as app:
            http.serve(app, listener)
        return None
    with blame("host", settings):
        port = PORT if settings.port is None else settings.port
        listener = http.listen(settings.host or HOST, port)
    with listener:
        with place.app(new=True, declared=True) as app:
            where = f"{http.address_of(listener)}, jobs in {without_password(app.url)}"
            click.echo(f"listens on {where}", err=True)
            if (settings.server_processes or 1) == 1 and not with_worker:
                http.serve(app, listener)
                return None
        return _supervised(settings, listener, with_worker)


def _supervised(settings: Configuration, listener: socket.socket, with_worker: bool) -> int:
    """Several processes, over one socket."""
    where = ["--app", settings.app] if settings.app else []
    environment = {}
    if settings.url is not None:
        where += ["--url", f"env:{SERVED_URL}"]
        environment[SERVED_URL] = settings.url
    answering = ["serve", *where, "--fd", str(listener.fileno())]
    commands = [answering] * (settings.server_processes or 1)
    if with_worker:
        commands.append(["worker", *where])
    return Supervisor(commands, files=[listener.fileno()], environment=environment, say=_say).run()


def _say(words: str) -> None:
    click.echo(words, err=True)
