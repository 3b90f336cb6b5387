"""Commands about keys: create, list, revoke."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click
from msgspec.structs import asdict

from mainspring.cli.options import Place, command, duration
from mainspring.cli.tables import local_time, table, utc
from mainspring.durations import moment
from mainspring.keys import GIVEN, Key


@click.group()
def keys() -> None:
    """Keys, by which a server tells who may use it: create, list and revoke them."""


@command
@click.argument("name")
@click.argument(
    "permissions",
    metavar="PERMISSION...",
    nargs=-1,
    required=True,
    type=click.Choice([str(each) for each in GIVEN]),
)
@click.option(
    "--only",
    metavar="PATTERN",
    multiple=True,
    help='Queues, entries and topics of such names alone, as in "mail*"; may be repeated.',
)
@click.option("--expires", type=duration, help='For how long it holds, such as "90d".')
def _create(
    place: Place,
    name: str,
    permissions: Sequence[str],
    only: Sequence[str],
    expires: str | None,
) -> None:
    """Make a key called NAME that allows to read, enqueue, work, or admin (all of it).

    Prints the key, which cannot be shown again: the store keeps no more than a digest of it.
    """
    with place.app(new=True) as app:
        made = app.keys.create(name, permissions, only=only, expires=expires)
    place.answer(_as_json(made) | {"key": made.key}, made.key)
    if not place.as_json:
        click.echo(f"Keep it: it is not shown again. Its id is {made.id}.", err=True)


@command
def _list(place: Place) -> None:
    """List all keys, the newest first."""
    with place.app() as app:
        found = app.keys.list()
    place.answer([_as_json(key) for key in found], lambda: _listed(found))


@command
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
def _revoke(place: Place, ids: Sequence[str]) -> None:
    """Let nobody in by these keys any more; servers hear of it within 5 seconds."""
    with place.app() as app:
        gone = [app.keys.revoke(id) for id in ids]
    place.answer([_as_json(key) for key in gone], "\n".join(f"revoked {key.name}" for key in gone))


keys.add_command(_create, "create")
keys.add_command(_list, "list")
keys.add_command(_revoke, "revoke")


def _listed(found: Sequence[Key]) -> str:
    return table(
        ("id", "name", "permissions", "only", "created", "expires", "used", "revoked"),
        [
            (
                key.id,
                key.name,
                ", ".join(key.permissions),
                ", ".join(key.only),
                *(
                    local_time(_micros(when))
                    for when in (key.created, key.expires, key.used, key.revoked)
                ),
            )
            for key in found
        ],
    )


def _micros(when: datetime | None) -> int | None:
    return None if when is None else moment(when)


def _as_json(key: Key) -> dict[str, Any]:
    told = {
        name: utc(moment(value)) if isinstance(value, datetime) else value
        for name, value in asdict(key).items()
    }
    told.pop("key", None)
    return told
