"""Commands about the store itself: check, doctor, migrate."""

import platform
import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mainspring import __version__
from mainspring.cli.options import Place, command, database_file
from mainspring.cli.tables import duration, size, utc
from mainspring.errors import MainspringError, StoreDamaged, StoreUnavailable
from mainspring.handle import Job
from mainspring.sharded import Sharded, ShardInfo
from mainspring.store import Health
from mainspring.urls import without_password

if TYPE_CHECKING:
    from mainspring.app import Mainspring

NETWORK_FILE_SYSTEMS = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "davfs", "gfs2", "gpfs", "lustre", "ncpfs"}
    | {"nfs", "nfs4", "ocfs2", "smb3", "smbfs"}
    | {"fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs"}
)
PASSING_FILE_SYSTEMS = frozenset({"ramfs", "tmpfs"})
LITTLE_SPACE = 500_000_000
"""Bytes free below which it is time to make room."""

MOUNTS = Path("/proc/self/mountinfo")


@command
def check(place: Place) -> int:
    """Prove every invariant of the store; with --app, that all tasks are declared well."""
    try:
        with place.app(declared=True) as app:
            broken = app.check()
    except StoreDamaged as error:
        broken = [f"The file is damaged, restore a backup: {error.__cause__ or error}."]
    place.answer({"broken": broken}, "\n".join(broken) or "Nothing is broken.")
    return 1 if broken else 0


@command
def migrate(place: Place) -> None:
    """Bring the schema of the store up to date, or make it."""
    with place.app(new=True) as app:
        version = app.store.migrate()
    place.answer({"schema": version}, f"The schema has version {version}.")


@command
def doctor(place: Place) -> None:
    """Tell versions, durability, sizes, the clock, and what to change."""
    facts: dict[str, Any] = {
        "mainspring": __version__,
        "python": f"{platform.python_version()} on {platform.platform()}",
    }
    try:
        with place.app() as app:
            facts |= _of_store(app.url, app.health(), _newest(app))
            if isinstance(app.store, Sharded):
                for info in app.store.shards():
                    facts["advice"] += _of_shard(info)
    except MainspringError:
        click.echo(_text(facts), err=True)
        raise
    place.answer(facts, lambda: _text(facts))


def wal_reset_race(version: str) -> str:
    """On which side of the repair of SQLite's WAL-reset race this version is, in words."""
    major, minor, patch = map(int, re.findall(r"\d+", version)[:3])
    repaired = (major, minor, patch) >= (3, 51, 3) or any(
        (major, minor) == branch and patch >= first
        for branch, first in (((3, 50), 7), ((3, 44), 6))
    )
    return f"{'after' if repaired else 'before'} the repair (3.51.3, 3.50.7, 3.44.6)"


def _of_store(url: str, health: Health, newest: list[Job[Any]]) -> dict[str, Any]:
    """What can be told of the store, its file and its clock."""
    now = time.time_ns() // 1000
    figures, advice = dict(health.figures), list(health.warnings)
    facts: dict[str, Any] = {
        "url": without_password(url),
        "engine": health.version,
        **({"place": health.place} if health.place else {}),
        "schema": health.schema,
        "durability": health.durability,
        "clock": utc(now),
        "figures": figures,
        "advice": advice,
    }
    if health.engine == "sqlite":
        facts["wal_reset_race"] = wal_reset_race(health.version)
    if newest and (ahead := newest[0].record.created - now) > 0:
        behind = duration(ahead)
        advice.append(f"the clock is {behind} behind the newest job: let a time service set it")
    if file := database_file(url):
        kind = file_system(file, MOUNTS.read_text() if MOUNTS.exists() else "")
        figures["disk_free_bytes"] = float(shutil.disk_usage(file.parent).free)
        facts["file_system"] = kind or "unknown"
        advice += _advice(file, kind, figures["disk_free_bytes"])
    return facts


def file_system(file: Path, mounts: str) -> str:
    """The type of the file system that holds the file, "" if the mounts do not tell."""
    best, kind = -1, ""
    for line in mounts.splitlines():
        place, _, rest = line.partition(" - ")
        point = Path(place.split()[4].replace("\\040", " "))
        if file.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), rest.split()[0]
    return kind


def _newest(app: "Mainspring") -> list[Job[Any]]:
    """The newest job; none if a shard does not answer, which its health tells."""
    try:
        return app.find(limit=1)
    except StoreUnavailable:
        if not isinstance(app.store, Sharded):
            raise
        return []


def _of_shard(info: ShardInfo) -> list[str]:
    """Advice on the file of one of several stores."""
    file = database_file(info.url)
    if file is None or not file.exists():
        return []
    kind = file_system(file, MOUNTS.read_text() if MOUNTS.exists() else "")
    advice = _advice(file, kind, float(shutil.disk_usage(file.parent).free))
    return [f"shard {info.name}: {each}" for each in advice]


def _advice(file: Path, kind: str, free: float) -> list[str]:
    advice = []
    if kind in NETWORK_FILE_SYSTEMS:
        advice.append(
            f"the file is on a network file system ({kind}), whose locks do not keep SQLite safe:"
            " move it to a local disk"
        )
    if kind in PASSING_FILE_SYSTEMS:
        advice.append(f"the file is in memory ({kind}) and gone after a restart of the machine")
    if free < LITTLE_SPACE:
        advice.append(f"{size(free)} are free on the disk: make room")
    if file.stat().st_mode & 0o077:
        advice.append(f"others may read or write the file: chmod 600 {file}")
    return advice


def _label(name: str) -> str:
    return name.removesuffix("_bytes").removesuffix("_seconds").replace("_", " ")


def _figure(name: str, value: float) -> str:
    """A figure, with the unit that its name ends with."""
    if name.endswith("_bytes"):
        return size(value)
    return f"{value:.3f} s" if name.endswith("_seconds") else f"{value:,.0f}"


def _text(facts: Mapping[str, Any]) -> str:
    told = dict(facts)
    advice, figures = told.pop("advice", None), told.pop("figures", {})
    told |= {name: _figure(name, value) for name, value in figures.items()}
    lines = [f"{_label(name) + ': ':<20}{value}" for name, value in told.items()]
    if advice is None:
        return "\n".join(lines)
    return "\n".join([*lines, "", *([f"! {each}" for each in advice] or ["Nothing to change."])])
