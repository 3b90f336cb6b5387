"""The command serve: answers HTTP until it is told to stop."""

import logging
import socket
import sys
from collections.abc import Mapping
from typing import Any

import click

from mainspring.asgi import server
from mainspring.cli.options import Place, blame, command
from mainspring.cli.supervise import Supervisor
from mainspring.errors import InvalidArguments
from mainspring.settings import Configuration
from mainspring.urls import without_password

HOST, PORT, SYNAP_PORT = "127.0.0.1", 8700, 15500

SERVED_URL = "MAINSPRING_SERVED_URL"
"""Tells the processes their store by a way that shows its password to nobody."""

OF_THE_PARENT = frozenset({"host", "port", "server_processes"})
"""What the processes that answer need not be told."""


@command
@click.option("--host", metavar="HOST", help=f"Where to listen; {HOST} by default.")
@click.option(
    "--port",
    metavar="PORT",
    help=f"{PORT} by default, with --synap {SYNAP_PORT}; 0: any that is free.",
)
@click.option(
    "--processes",
    "--server-processes",
    "server_processes",
    metavar="N|auto",
    help="Processes that answer on that port; 1 by default. One that dies is replaced.",
)
@click.option("--with-worker", is_flag=True, help="Run a worker, too; needs --app.")
@click.option("--hosts", metavar="NAME[,…]", help="Names by which the server is reached.")
@click.option("--tls-cert", metavar="FILE", help="Its certificate, in PEM.")
@click.option("--tls-key", metavar="FILE", help="The certificate's key, if it is another file.")
@click.option("--tls-client-ca", metavar="FILE", help="Whose certificates clients must have.")
@click.option(
    "--behind-proxy",
    metavar="ADDRESS[,…]",
    help="Proxies, or their networks, whose X-Forwarded-For and -Proto are believed.",
)
@click.option(
    "--insecure-no-auth", is_flag=True, default=None, help="Ask nobody for a key, whoever it is."
)
@click.option(
    "--insecure-no-tls", is_flag=True, default=None, help="Let other machines come without TLS."
)
@click.option(
    "--rate",
    metavar="N/s|m|h|none",
    help="Requests of each key and each address; 1000/s by default off loopback.",
)
@click.option("--waits", metavar="N", help="Requests that wait by one key; 100 by default.")
@click.option(
    "--connections", metavar="N", help="Of one process; 1,000 by default, 10,000 on loopback."
)
@click.option(
    "--access-log", is_flag=True, default=None, help="A line of JSON on stderr for each request."
)
@click.option("--synap", is_flag=True, default=None, help="Speak Synap's wire, too.")
@click.option("--fd", type=int, hidden=True, help="A socket that listens already.")
def serve(place: Place, with_worker: bool, fd: int | None, **arguments: Any) -> int | None:
    """Answer HTTP: jobs, queues and workers for programs in any language, and for curl.

    Until SIGTERM or Ctrl-C; twice: until now. With --app, payloads of the tasks declared there are
    checked. Everybody needs a key as soon as there is one (mainspring keys create).
    """
    settings = place.store_settings(**arguments)
    _refuse_odd_pairs(settings, with_worker)
    http = server("serve")
    if fd is None:
        with blame("host", settings):
            usual = SYNAP_PORT if settings.synap else PORT
            port = usual if settings.port is None else settings.port
            listener = http.listen(settings.host or HOST, port)
    else:
        listener = socket.socket(fileno=fd)
    with listener:
        terms = server("terms").terms_of(settings, listener.getsockname()[0])
        if settings.access_log:
            _log_access()
        with place.app(new=True, declared=True) as app:
            if fd is None:
                with blame("host", settings):
                    http.refuse_to_be_open(app, listener, terms)
                with blame("tls_cert", settings):
                    if terms.tls is not None:
                        server("connection.certificates").tls_context(terms.tls)
                url = http.address_of(listener, terms)
                click.echo(f"listens on {url}, jobs in {without_password(app.url)}", err=True)
                for warning in http.warnings(listener, terms):
                    click.echo(f"warning: {warning}", err=True)
            if fd is not None or ((settings.server_processes or 1) == 1 and not with_worker):
                http.serve(app, listener, terms)
                return None
        return _supervised(settings, listener, with_worker, arguments)


def _refuse_odd_pairs(settings: Configuration, with_worker: bool) -> None:
    if with_worker and settings.app is None:
        raise InvalidArguments('--with-worker: expected --app, such as "shop.jobs:app", got none')
    for name in ("tls_key", "tls_client_ca"):
        if getattr(settings, name) is not None and settings.tls_cert is None:
            raise InvalidArguments(
                f"--{name.replace('_', '-')}: expected --tls-cert, too, got none"
            )


def _log_access() -> None:
    for name in ("mainspring.access", "mainspring.audit"):
        log = logging.getLogger(name)
        log.addHandler(logging.StreamHandler(sys.stderr))
        log.setLevel(logging.INFO)
        log.propagate = False


def _supervised(
    settings: Configuration,
    listener: socket.socket,
    with_worker: bool,
    arguments: Mapping[str, Any],
) -> int:
    """Several processes, over one socket."""
    where = ["--app", settings.app] if settings.app else []
    environment = {}
    if settings.url is not None:
        where += ["--url", f"env:{SERVED_URL}"]
        environment[SERVED_URL] = settings.url
    said = [word for name, value in arguments.items() for word in _words(name, value)]
    answering = ["serve", *where, "--fd", str(listener.fileno()), *said]
    commands = [answering] * (settings.server_processes or 1)
    if with_worker:
        commands.append(["worker", *where])
    return Supervisor(commands, files=[listener.fileno()], environment=environment, say=_say).run()


def _words(name: str, value: Any) -> list[str]:
    """An option as it was given."""
    if value is None or name in OF_THE_PARENT:
        return []
    option = f"--{name.replace('_', '-')}"
    return [option] if value is True else [option, value]


def _say(words: str) -> None:
    click.echo(words, err=True)
