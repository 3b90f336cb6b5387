"""Key-value: entries by their keys.

A step looks at all that it needs before it writes, so what it refuses it has not begun.
"""

from collections.abc import Sequence
from sqlite3 import Connection

from mainspring.cells import Add, Cell, Put
from mainspring.engines.common.cells import BEYOND, conflict, end, once, total
from mainspring.engines.common.sections import sections
from mainspring.engines.sqlite.step import Step, as_json
from mainspring.errors import NotInteger, VersionConflict

SQL = sections(__file__)


def get(connection: Connection, keys: Sequence[str], wall: int) -> list[Cell | None]:
    """The entries under these keys."""
    rows = connection.execute(SQL["get"], {"keys": as_json(keys), "wall": wall})
    found = {row[0]: Cell(*row) for row in rows}
    return [found.get(key) for key in keys]


def scan(connection: Connection, prefix: str, after: str, limit: int, wall: int) -> list[Cell]:
    """A page of entries."""
    named = {"least": max(prefix, after), "after": after, "beyond": prefix + BEYOND}
    rows = connection.execute(SQL["scan"], named | {"limit": limit, "wall": wall})
    return [Cell(*row) for row in rows]


def put(step: Step, puts: Sequence[Put]) -> list[int] | VersionConflict:
    """Write these; their versions, or why not."""
    keys = once(each.key for each in puts)
    found: dict[str, int] = {}
    if any(each.expected is not None for each in puts):
        found = dict(step.rows(SQL["heads"], {"keys": as_json(keys), "wall": step.wall}))
    for each in puts:
        if (refusal := conflict(each, found.get(each.key, 0))) is not None:
            return refusal
    return _write(step, [(each.key, each.value, end(step.wall, each.ttl)) for each in puts])


def add(step: Step, adds: Sequence[Add]) -> list[int] | NotInteger:
    """Add to these; what they are now, or why not."""
    found = dict(zip(once(each.key for each in adds), _found(step, adds), strict=True))
    cells: list[tuple[str, bytes, int | None]] = []
    try:
        for each in adds:
            cell = found[each.key]
            sum = total(each, None if cell is None else cell.value)
            ends = end(step.wall, each.ttl) if cell is None else cell.expires
            cells.append((each.key, b"%d" % sum, ends))
    except NotInteger as refusal:
        return refusal
    _write(step, cells)
    return [int(value) for _, value, _ in cells]


def touch(step: Step, keys: Sequence[str], ttl: int | None) -> list[bool]:
    """Have these stay so long from now on; which were there."""
    named = {"keys": as_json(once(keys)), "wall": step.wall, "end": end(step.wall, ttl)}
    touched = {key for (key,) in step.rows(SQL["touch"], named)}
    return [key in touched for key in keys]


def delete(step: Step, keys: Sequence[str]) -> int:
    """Remove these; how many were there."""
    rows = step.rows(SQL["delete"], (as_json(once(keys)),))
    return sum(expires is None or expires > step.wall for (expires,) in rows)


def any_expired(connection: Connection, wall: int) -> bool:
    """Whether there is something to prune."""
    ((found,),) = connection.execute(SQL["any_expired"], (wall,)).fetchall()
    return bool(found)


def prune(step: Step, limit: int) -> int:
    """Remove some whose time has come; how many."""
    return step.run(SQL["prune"], (step.wall, limit)).rowcount


def _found(step: Step, adds: Sequence[Add]) -> list[Cell | None]:
    return get(step.connection, [each.key for each in adds], step.wall)


def _write(step: Step, cells: Sequence[tuple[str, bytes, int | None]]) -> list[int]:
    if not cells:
        return []
    (last,) = step.row(SQL["versions"], (len(cells),))
    versions = list(range(last - len(cells) + 1, last + 1))
    rows = [
        (key, value, version, ends)
        for (key, value, ends), version in zip(cells, versions, strict=True)
    ]
    step.many(SQL["write"], rows)
    return versions
