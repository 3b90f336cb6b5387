"""Key-value: entries by their keys.

Whoever writes has locked the rows before it decides. A key that is not there is given a row first,
so that two who make it meet there.
"""

from collections.abc import Sequence

from mainspring.cells import Add, Cell, Put
from mainspring.engines.common.cells import BEYOND, conflict, end, once, total
from mainspring.engines.common.sections import sections
from mainspring.engines.postgres.arrays import bigints, blobs, texts
from mainspring.engines.postgres.reader import Reader
from mainspring.engines.postgres.step import Again, Step

SQL = sections(__file__)


def get(step: Step, keys: Sequence[str]) -> list[Cell | None]:
    """The entries under these keys."""
    rows = step.rows(SQL["get"], {"keys": texts(keys), "wall": step.wall})
    found = {row[0]: Cell(*row) for row in rows}
    return [found.get(key) for key in keys]


def scan(step: Step, prefix: str, after: str, limit: int) -> list[Cell]:
    """A page of entries."""
    named = {"least": max(prefix, after), "after": after, "beyond": prefix + BEYOND}
    rows = step.rows(SQL["scan"], named | {"limit": limit, "wall": step.wall})
    return [Cell(*row) for row in rows]


def put(step: Step, puts: Sequence[Put]) -> list[int]:
    """Write these; their versions. `VersionConflict`."""
    found = _lock(step, once(each.key for each in puts))
    for each in puts:
        if (refusal := conflict(each, found[each.key])) is not None:
            raise refusal
    return _write(step, [(each.key, each.value, end(step.wall, each.ttl)) for each in puts])


def add(step: Step, adds: Sequence[Add]) -> list[int]:
    """Add to these; what they are now. `NotInteger`."""
    keys = once(each.key for each in adds)
    _lock(step, keys)
    cells = []
    for each, cell in zip(adds, _locked(step, keys), strict=True):
        sum = total(each, None if cell is None else cell.value)
        ends = end(step.wall, each.ttl) if cell is None else cell.expires
        cells.append((each.key, b"%d" % sum, ends))
    _write(step, cells)
    return [int(value) for _, value, _ in cells]


def touch(step: Step, keys: Sequence[str], ttl: int | None) -> list[bool]:
    """Have these stay so long from now on; which were there."""
    listed = once(keys)
    step.rows(SQL["lock"], (texts(listed),))
    named = {"keys": texts(listed), "wall": step.wall, "end": end(step.wall, ttl)}
    touched = {key for (key,) in step.rows(SQL["touch"], named)}
    return [key in touched for key in keys]


def delete(step: Step, keys: Sequence[str]) -> int:
    """Remove these; how many were there."""
    listed = once(keys)
    step.rows(SQL["lock"], (texts(listed),))
    rows = step.rows(SQL["delete"], (texts(listed),))
    return sum(expires is None or expires > step.wall for (expires,) in rows)


def any_expired(reader: Reader, wall: int) -> bool:
    """Whether there is something to prune."""
    ((found,),) = reader.rows(SQL["any_expired"], (wall,))
    return bool(found)


def prune(step: Step, limit: int) -> int:
    """Remove some whose time has come; how many."""
    return step.run(SQL["prune"], (step.wall, limit))


def _lock(step: Step, keys: Sequence[str]) -> dict[str, int]:
    """Have nobody else write to these; their versions, 0 where there is none."""
    rows = step.rows(SQL["lock"], (texts(keys),))
    missing = sorted(set(keys) - {key for key, *_ in rows})
    if missing and step.run(SQL["take_places"], (texts(missing),)) < len(missing):
        raise Again  # somebody made one of them meanwhile
    live = {key: n for key, n, ends in rows if ends is None or ends > step.wall}
    return {key: live.get(key, 0) for key in keys}


def _locked(step: Step, keys: Sequence[str]) -> list[Cell | None]:
    """What is under keys that are locked; a place that was only taken holds nothing."""
    return [cell if cell and cell.version else None for cell in get(step, keys)]


def _write(step: Step, cells: Sequence[tuple[str, bytes, int | None]]) -> list[int]:
    if not cells:
        return []
    keys, values, ends = zip(*cells, strict=True)
    versions = dict(step.rows(SQL["write"], (texts(keys), blobs(values), bigints(ends))))
    return [versions[key] for key in keys]
