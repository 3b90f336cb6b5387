"""The command audit: what was changed by way of servers."""

from collections import deque

import click
import msgspec

from mainspring.audit import Deed
from mainspring.cli.options import Place, command, duration
from mainspring.cli.tables import local_time, printable, utc
from mainspring.durations import moment


@command
@click.option("--since", type=duration, default="1d", show_default=True, help="How far back.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
def audit(place: Place, since: str, limit: int) -> None:
    """Tell who changed what over HTTP.

    That is, all that takes a key with admin; the oldest first. Servers keep it for 90 days.
    """
    with place.app() as app:
        found = list(deque(app.audit.since(since), maxlen=limit))
    place.answer([_as_json(deed) for deed in found], lambda: _listed(found))


def _listed(found: list[Deed]) -> str:
    return "\n".join(map(_line, found)) or "none"


def _line(deed: Deed) -> str:
    words = [
        local_time(moment(deed.at)),
        deed.address or "-",
        f"{deed.name} ({deed.key})" if deed.key else deed.name,
        deed.what,
        str(deed.status),
    ]
    if deed.before is not None:
        words.append(f"before {_json(deed.before)}")
    if deed.after is not None:
        words.append(f"after {_json(deed.after)}")
    return printable("  ".join(words)).replace("\n", " ")


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _as_json(deed: Deed) -> dict[str, object]:
    return msgspec.structs.asdict(deed) | {"at": utc(moment(deed.at))}
