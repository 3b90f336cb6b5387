"""The command line as a whole: help, version, ways to start it."""

import subprocess
from collections.abc import Callable

import click
import pytest

import mainspring
from mainspring.cli import mainspring as group
from tests.cli.conftest import URL, Cli

COMMANDS = group.list_commands(click.Context(group))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(cli: Cli, command: str) -> None:
    said = cli(command, "--help")
    assert said.code == 0
    assert said.out.startswith(f"Usage: mainspring {command}")


def test_every_command_answers_in_json_if_asked() -> None:
    for name in COMMANDS:
        command = group.get_command(click.Context(group), name)
        commands = (
            list(command.commands.values()) if isinstance(command, click.Group) else [command]
        )
        for each in commands:
            assert each is not None
            assert "--json" in [option for param in each.params for option in param.opts], name


def test_the_url_may_stand_before_or_behind_the_command(cli: Cli) -> None:
    assert cli("--url", URL, "migrate").code == 0
    assert cli("stats", "--url", URL).code == 0
    assert cli("--url", "sqlite:///other.db", "stats", "--queue-url", URL).code == 0


def test_the_url_may_come_from_the_environment(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAINSPRING_URL", URL)
    assert cli("migrate").code == 0
    monkeypatch.setenv("SHOP_DB", URL)
    assert cli("--url", "env:SHOP_DB", "stats").code == 0


def test_it_runs_as_a_module(program: Callable[..., "subprocess.Popen[str]"]) -> None:
    out, _ = program("--help").communicate(timeout=60)
    assert all(command in out for command in COMMANDS)


def test_the_version_is_the_librarys(cli: Cli) -> None:
    assert cli("--version").out == f"mainspring {mainspring.__version__}\n"
