"""The command line: `main`, its commands (each loaded when it is called) and its exit codes.

0 done · 1 failure · 2 wrong usage or input · 69 store unreachable · 75 the grace time ran out with
jobs given back, or a wait did · 78 configuration or schema wrong · 130 interrupted.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper

import click
from msgspec import DecodeError

from mainspring import __version__
from mainspring.cli.options import Place, place_options
from mainspring.errors import (
    ConfigError,
    InvalidArguments,
    MainspringError,
    SchemaError,
    StoreUnavailable,
)

FAILURE, USAGE, UNAVAILABLE, CONFIGURATION, INTERRUPTED = 1, 2, 69, 78, 130

_EXITS: list[tuple[type[MainspringError], int]] = [
    (InvalidArguments, USAGE),
    (ConfigError, CONFIGURATION),
    (SchemaError, CONFIGURATION),
    (StoreUnavailable, UNAVAILABLE),
    (MainspringError, FAILURE),
]

_DAMAGE = (UnicodeDecodeError, DecodeError, OverflowError)
"""What comes of bytes in the store that nobody wrote; input that is wrong never gets so far."""

_MODULES = {
    "worker": "work",
    "work": "execute",
    "serve": "serve",
    "enqueue": "enqueue",
    "status": "jobs",
    "show": "jobs",
    "jobs": "jobs",
    "cancel": "jobs",
    "replay": "jobs",
    "monitor": "monitor",
    "stats": "monitor",
    "queues": "queues",
    "purge": "queues",
    "dlq": "queues",
    "pause": "queues",
    "resume": "queues",
    "workers": "workers",
    "drain": "workers",
    "scale": "workers",
    "reload": "workers",
    "check": "inspect",
    "check-deploy": "check_deploy",
    "doctor": "inspect",
    "migrate": "inspect",
    "shards": "shards",
    "kv": "kv",
    "topics": "topics",
    "keys": "keys",
    "audit": "audit",
    "copy": "move",
    "demo": "demo",
}


class _Commands(click.Group):
    """Imports a command's module when the command is asked for: a worker starts the sooner."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _MODULES:
            return None
        module = import_module(f"mainspring.cli.{_MODULES[cmd_name]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@place_options
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def mainspring(ctx: click.Context, url: str | None, app: str | None) -> None:
    """A durable task queue.

    Settings come from options, then MAINSPRING_* variables (MAINSPRING_URL, MAINSPRING_APP …), then
    mainspring.toml or [tool.mainspring] in pyproject.toml.
    """
    ctx.obj = Place(url=url, app=app)


def main() -> None:
    """Run the command line and leave with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # Whatever a job's text holds can be shown, on whatever terminal.
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Carry out one command; the exit code. Never a traceback for what a user can cause."""
    try:
        status = mainspring.main(list(arguments), prog_name="mainspring", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except MainspringError as error:
        click.echo(f"mainspring: {error}", err=True)
        return next(code for kind, code in _EXITS if isinstance(error, kind))
    except _DAMAGE as error:
        click.echo(f"mainspring: the store holds what cannot be read: {error}", err=True)
        return FAILURE
    except BrokenPipeError:
        # Whoever read our output has seen enough; the flush at exit must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    return status if isinstance(status, int) else 0
