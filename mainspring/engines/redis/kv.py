"""Key-value: entries by their keys. What refuses a write is found out by its script."""

import struct
from collections.abc import Sequence

from mainspring.cells import Add, Cell, Put
from mainspring.engines.common.cells import BEYOND, LARGEST, conflict, not_integer, once
from mainspring.engines.redis.client import Client
from mainspring.errors import StoreDamaged
from mainspring.job import Now

_CELL = struct.Struct("<dd")


def get(client: Client, keys: Sequence[str], now: Now | None) -> list[Cell | None]:
    """The entries under these keys."""
    if not keys:
        return []
    rows = client.run("kv_get", *keys, now=now, writes=False)
    return [row and cell(key, row) for key, row in zip(keys, rows, strict=True)]


def cell(key: str, row: bytes) -> Cell:
    """An entry as it is kept."""
    try:
        version, ends = _CELL.unpack_from(row)
    except struct.error as error:
        raise StoreDamaged(f"key {key!r} cannot be read: {error}; delete it") from error
    return Cell(key, row[_CELL.size :], int(version), int(ends) or None)


def scan(client: Client, prefix: str, after: str, limit: int, now: Now | None) -> list[Cell]:
    """A page of entries; those whose time has come may lie between them."""
    found: list[Cell] = []
    begin = f"({after}" if after >= prefix and after else f"[{prefix}"
    while len(found) < limit:
        asked = begin, f"({prefix}{BEYOND}", limit - len(found)
        last, *told = client.run("kv_scan", *asked, now=now, writes=False)
        pairs = zip(told[::2], told[1::2], strict=True)
        found += [cell(key.decode(), row) for key, row in pairs]
        if not last:
            break
        begin = f"({last.decode()}"
    return found


def put(client: Client, puts: Sequence[Put], now: Now | None) -> list[int]:
    """Write these; their versions. `VersionConflict`."""
    once(each.key for each in puts)
    if not puts:
        return []
    repeat = all(each.expected is None for each in puts)
    wanted = (part for each in puts for part in _put(each))
    refused, *told = client.run("kv_set", *wanted, now=now, repeat=repeat)
    versions = [int(version) for version in told]
    if refused and (refusal := conflict(puts[refused - 1], versions[0])):
        raise refusal
    return versions


def add(client: Client, adds: Sequence[Add], now: Now | None) -> list[int]:
    """Add to these; what they are now. `NotInteger`."""
    once(each.key for each in adds)
    for each in adds:
        if not -LARGEST - 1 <= each.by <= LARGEST:
            raise not_integer(each, b"0")
    if not adds:
        return []
    wanted = (part for each in adds for part in (each.key, each.by, _ttl(each.ttl)))
    refused, *told = client.run("kv_add", *wanted, now=now, repeat=False)
    if refused:
        raise not_integer(adds[refused - 1], told[0])
    return [int(sum) for sum in told]


def touch(client: Client, keys: Sequence[str], ttl: int | None, now: Now | None) -> list[bool]:
    """Have these stay so long from now on; which were there."""
    listed = once(keys)
    return [bool(n) for n in client.run("kv_touch", _ttl(ttl), *listed, now=now)]


def delete(client: Client, keys: Sequence[str], now: Now | None) -> int:
    """Remove these; how many were there."""
    n: int = client.run("kv_delete", *once(keys), now=now, repeat=False)
    return n


def _put(each: Put) -> tuple[object, ...]:
    expected = "" if each.expected is None else each.expected
    return each.key, each.value, _ttl(each.ttl), expected


def _ttl(ttl: int | None) -> int | str:
    return "" if ttl is None else ttl
