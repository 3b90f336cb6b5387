"""Commands about the key-value store: get, set, increment, touch, delete, scan."""

from collections.abc import Sequence
from typing import Any

import click
import msgspec

from mainspring.cli.enqueue import payload
from mainspring.cli.options import Place, command, duration
from mainspring.cli.tables import local_time, table, utc
from mainspring.durations import moment
from mainspring.kv import Entry

ttl_option = click.option(
    "--ttl", type=duration, help='For how long, such as "5m"; else until it is deleted.'
)


@click.group()
def kv() -> None:
    """Values under keys: get, set, increment, touch, delete and scan them."""


@command
@click.argument("key")
def _get(place: Place, key: str) -> int:
    """Print the value of KEY: JSON, or its bytes as they are. Exit code 1 if there is none."""
    with place.app() as app:
        found = app.kv.entry(key)
    if found is None:
        return _nothing(place, key)
    if place.as_json:
        place.answer(_as_json(found), "")
    else:
        click.echo(_written(found.value))
    return 0


@command
@click.argument("key")
@click.argument("value", type=payload)
@ttl_option
@click.option("--if-version", type=click.IntRange(1), help="Only over this version.")
@click.option("--if-absent", is_flag=True, help="Only if there is none.")
def _set(place: Place, key: str, value: Any, **options: Any) -> None:
    """Keep VALUE (JSON, or @FILE, or - for standard input) under KEY; prints its version."""
    with place.app(new=True) as app:
        version = app.kv.set(key, value, **options)
    place.answer({"key": key, "version": version}, f"{version}")


@command
@click.argument("key")
@click.option("--by", type=int, default=1, show_default=True)
@click.option("--ttl", type=duration, help="For how long, if it is a new one.")
def _increment(place: Place, key: str, by: int, ttl: str | None) -> None:
    """Add to the integer under KEY, which begins at 0; prints what it is now."""
    with place.app(new=True) as app:
        value = app.kv.increment(key, by, ttl=ttl)
    place.answer({"key": key, "value": value}, f"{value}")


@command
@click.argument("key")
@ttl_option
def _touch(place: Place, key: str, ttl: str | None) -> int:
    """Have the entry of KEY stay, from now on, for so long. Exit code 1 if there is none."""
    with place.app() as app:
        found = app.kv.entry(key) if app.kv.touch(key, ttl) else None
    if found is None:
        return _nothing(place, key)
    place.answer(_as_json(found), f"until {local_time(_micros(found)) if found.expires else '-'}")
    return 0


@command
@click.argument("keys", nargs=-1, required=True)
def _delete(place: Place, keys: Sequence[str]) -> None:
    """Remove the entries of KEYS; tells how many there were."""
    with place.app() as app:
        n = app.kv.delete(*keys)
    place.answer({"deleted": n}, f"{n:,} deleted")


@command
@click.argument("prefix", default="")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@click.option("--after", metavar="KEY", help="Go on behind this key.")
def _scan(place: Place, prefix: str, limit: int, after: str | None) -> None:
    """List the entries whose keys begin with PREFIX, in the order of their keys."""
    with place.app() as app:
        found = list(app.kv.scan(prefix, after=after, limit=limit))
    place.answer([_as_json(each) for each in found], lambda: _listed(found))
    if len(found) == limit and not place.as_json:
        click.echo(f"There may be more: --after {found[-1].key}", err=True)


for _name, _command in (
    ("get", _get),
    ("set", _set),
    ("increment", _increment),
    ("touch", _touch),
    ("delete", _delete),
    ("scan", _scan),
):
    kv.add_command(_command, _name)


def _listed(found: Sequence[Entry]) -> str:
    return table(
        ("key", "value", "version", "until"),
        [
            (
                each.key,
                _written(each.value).decode(errors="backslashreplace"),
                str(each.version),
                local_time(_micros(each)),
            )
            for each in found
        ],
    )


def _nothing(place: Place, key: str) -> int:
    click.echo(f"nothing is kept under {key!r}", err=True)
    if place.as_json:
        place.answer(None, "")
    return 1


def _written(value: Any) -> bytes:
    return value if isinstance(value, bytes) else msgspec.json.encode(value)


def _micros(entry: Entry) -> int | None:
    return None if entry.expires is None else moment(entry.expires)


def _as_json(entry: Entry) -> dict[str, Any]:
    """An entry for machines. Bytes are told as base64, under a name of their own."""
    name = "base64" if isinstance(entry.value, bytes) else "value"
    return {
        "key": entry.key,
        name: entry.value,
        "version": entry.version,
        "expires": utc(_micros(entry)),
    }
