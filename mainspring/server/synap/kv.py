"""Key-value: Synap's commands `kv.*`."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable
from fnmatch import translate
from itertools import islice
from typing import Any

import msgspec
from msgspec.structs import replace

from mainspring.cells import Add, Cell, Put
from mainspring.durations import SECOND
from mainspring.errors import VersionConflict
from mainspring.keys import Permission
from mainspring.kv import key_of
from mainspring.server.backend.service import Service
from mainspring.server.synap.asking import Asked, Command, Table
from mainspring.server.synap.cells import Entries, left, seconds, span_of
from mainspring.server.synap.refusals import Refused, invalid, missing
from mainspring.server.synap.transactions import Step, Transactions
from mainspring.server.synap.values import kept, readable, shown, written

SCANNED, MOST_SCANNED = 100, 100_000


class KeyValueCommands:
    """What can be asked of entries."""

    def __init__(self, service: Service, transactions: Transactions) -> None:
        self._entries = Entries(service)
        self._transactions = transactions
        self._tallies: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)

    def commands(self) -> Table:
        """Each command by its name."""
        reads: dict[str, Callable[[Asked], Any]] = {
            "kv.get": self.get,
            "kv.exists": self.exists,
            "kv.mget": self.mget,
            "kv.scan": self.scan,
            "kv.keys": self.keys,
            "kv.dbsize": self.dbsize,
            "kv.ttl": self.ttl,
            "kv.stats": self.stats,
            "kv.getrange": self.getrange,
            "kv.strlen": self.strlen,
        }
        writes: dict[str, Callable[[Asked], Any]] = {
            "kv.set": self.keep,
            "kv.del": self.delete,
            "kv.incr": self.incr,
            "kv.decr": self.decr,
            "kv.mset": self.mset,
            "kv.msetnx": self.msetnx,
            "kv.mdel": self.mdel,
            "kv.expire": self.expire,
            "kv.persist": self.persist,
            "kv.append": self.append,
            "kv.setrange": self.setrange,
            "kv.getset": self.getset,
        }
        return {
            **{name: Command(Permission.READ, run) for name, run in reads.items()},
            **{name: Command(Permission.ENQUEUE, run) for name, run in writes.items()},
            "kv.flushdb": Command(Permission.ADMIN, self.flush),
            "kv.flushall": Command(Permission.ADMIN, self.flush),
        }

    # --- one entry --------------------------------------------------------------------------

    def get(self, asked: Asked) -> str | list[int] | None:
        """The value as text, or as bytes if `type` says so; null if there is none."""
        data = self._read(asked)
        if data is None:
            return None
        return list(data) if asked.text_or("type", "string") == "bytes" else readable(data)

    def exists(self, asked: Asked) -> dict[str, bool]:
        """Whether there is an entry."""
        return {"exists": self._entries.get(asked.text("key"), asked.caller) is not None}

    def keep(self, asked: Asked) -> dict[str, Any]:
        """Keep a value; with `nx` only where there is none, with `xx` only where there is one."""
        key, data = asked.text("key"), written(asked.value("value"))
        asked.permit(key)
        if asked.payload.get("get") is True:
            asked.caller.require(Permission.READ)
        put = self._entries.put(key, data, _ttl(asked))
        step = Step(op="set", key=key, value=put.value, ttl=put.ttl)
        if self._transactions.queued(asked, step):
            return {"success": True, "queued": True}
        self._count(asked, sets=1)
        flags = {name for name in ("nx", "xx", "keepttl", "get") if asked.payload.get(name) is True}
        if not flags:
            self._entries.store.kv_set([put])
            return {"success": True}
        return self._keep_if(put, flags)

    def _keep_if(self, put: Put, flags: set[str]) -> dict[str, Any]:
        wrote = True

        def change(cell: Cell | None) -> Put | None:
            nonlocal wrote
            wrote = not ("nx" in flags if cell else "xx" in flags)
            if not wrote:
                return None
            return replace(put, ttl=left(cell)) if "keepttl" in flags else put

        before = self._entries.change(put.key, change)
        told: dict[str, Any] = {"success": True, "written": wrote}
        if "get" in flags and before is not None:
            told["old_value"] = _meant(shown(before.value))
        return told

    def delete(self, asked: Asked) -> dict[str, Any]:
        """Remove an entry."""
        key = asked.text("key")
        known = asked.caller.knows(key)
        if known and self._transactions.queued(asked, Step(op="del", key=key)):
            return {"success": True, "queued": True}
        return {"deleted": self._delete([key], asked) == 1}

    def incr(self, asked: Asked) -> dict[str, Any]:
        """Add to an integer."""
        return self._add(asked, 1)

    def decr(self, asked: Asked) -> dict[str, Any]:
        """Take from an integer."""
        return self._add(asked, -1)

    def _add(self, asked: Asked, sign: int) -> dict[str, Any]:
        key, amount = asked.text("key"), asked.whole("amount")
        asked.permit(key)
        by = sign * (1 if amount is None else amount)
        if self._transactions.queued(asked, Step(op="add", key=key, by=by)):
            return {"success": True, "queued": True}
        self._count(asked, sets=1)
        [total] = self._entries.store.kv_add([Add(key_of(key), by)])
        return {"value": total}

    def expire(self, asked: Asked) -> dict[str, bool]:
        """Have an entry stay for `ttl` seconds from now on."""
        key, ttl = asked.text("key"), asked.count("ttl")
        if ttl is None:
            raise missing("ttl")
        return {"result": self._touch(key, seconds(ttl), asked)}

    def persist(self, asked: Asked) -> dict[str, bool]:
        """Have an entry stay until it is deleted."""
        return {"result": self._touch(asked.text("key"), None, asked)}

    def ttl(self, asked: Asked) -> dict[str, int | None]:
        """How many seconds an entry is still kept; null: until it is deleted."""
        key = asked.text("key")
        cell = self._entries.get(key, asked.caller)
        if cell is None:
            raise Refused(404, f"Key not found: {key}")
        span = left(cell)
        return {"ttl": None if span is None else -(-span // SECOND)}

    # --- many entries -----------------------------------------------------------------------

    def mset(self, asked: Asked) -> dict[str, bool]:
        """Keep the JSON text of some values."""
        puts = self._pairs(asked)
        self._entries.store.kv_set(puts)
        return {"success": True}

    def msetnx(self, asked: Asked) -> dict[str, bool]:
        """The same if none of the keys has an entry."""
        puts = [replace(put, expected=0) for put in self._pairs(asked)]
        try:
            self._entries.store.kv_set(puts)
        except VersionConflict:
            return {"success": False}
        return {"success": True}

    def _pairs(self, asked: Asked) -> list[Put]:
        pairs = asked.payload.get("pairs")
        if pairs is None and "key" in asked.payload:
            pairs = [asked.payload]
        if not isinstance(pairs, list):
            raise missing("pairs")
        puts: dict[str, Put] = {}
        for pair in pairs:
            if not isinstance(pair, dict) or not isinstance(key := pair.get("key"), str):
                raise invalid("Each pair must have 'key'")
            if "value" not in pair:
                raise invalid("Each pair must have 'value'")
            asked.permit(key)
            puts[key] = self._entries.put(key, msgspec.json.encode(pair["value"]))
        self._count(asked, sets=len(puts))
        return list(puts.values())

    def mget(self, asked: Asked) -> dict[str, list[Any]]:
        """The values that are JSON; null for others, and where there is none."""
        cells = self._entries.many(asked.texts("keys"), asked.caller)
        return {"values": [None if cell is None else _json(shown(cell.value)) for cell in cells]}

    def mdel(self, asked: Asked) -> dict[str, int]:
        """Remove entries."""
        return {"deleted": self._delete(asked.texts("keys"), asked)}

    def scan(self, asked: Asked) -> dict[str, Any]:
        """The first keys that begin so."""
        limit = asked.count("limit")
        wanted = SCANNED if limit is None else min(limit, MOST_SCANNED)
        found = self._entries.each(asked.text_or("prefix", ""), asked.caller)
        return _keys([cell.key for cell in islice(found, wanted)])

    def keys(self, asked: Asked) -> dict[str, Any]:
        """The keys of a pattern: `*` any characters, `?` one, `[...]` one of these."""
        pattern = asked.text_or("pattern", "*")
        fits = re.compile(translate(pattern.replace("[^", "[!"))).match
        prefix = re.split(r"[*?[]", pattern, maxsplit=1)[0]
        found = self._entries.each(prefix, asked.caller)
        return _keys([cell.key for cell in found if fits(cell.key)])

    def dbsize(self, asked: Asked) -> dict[str, int]:
        """How many entries there are."""
        return {"size": sum(1 for _ in self._entries.each("", asked.caller))}

    def flush(self, asked: Asked) -> dict[str, int]:
        """Remove all entries."""
        return {"flushed": self._entries.delete_all(asked.caller)}

    def stats(self, asked: Asked) -> dict[str, Any]:
        """How many entries there are, of how many bytes, and what this process was asked for: to
        who may use some names only, by those who may use the same."""
        sizes = [len(cell.key) + len(cell.value) for cell in self._entries.each("", asked.caller)]
        tally = self._tallies[tuple(asked.caller.only)]
        return {
            "total_keys": len(sizes),
            "total_memory_bytes": sum(sizes),
            "operations": {
                **{name: tally[name] for name in ("gets", "sets", "dels", "hits")},
                "misses": tally["gets"] - tally["hits"],
            },
            "hit_rate": tally["hits"] / tally["gets"] if tally["gets"] else 0.0,
        }

    # --- parts of a value -------------------------------------------------------------------

    def append(self, asked: Asked) -> dict[str, int]:
        """Add to the end of a value."""
        more = written(asked.value("value"))
        return self._rewrite(asked, lambda data: data + more)

    def setrange(self, asked: Asked) -> dict[str, int]:
        """Write over a value from an offset on, behind zero bytes if it is shorter."""
        offset, data = asked.count("offset"), written(asked.value("value"))
        if offset is None:
            raise missing("offset")
        if offset > self._entries.largest:
            raise invalid(f"'offset' must be at most {self._entries.largest}")
        return self._rewrite(
            asked, lambda old: old[:offset].ljust(offset, b"\0") + data + old[offset + len(data) :]
        )

    def getrange(self, asked: Asked) -> str | None:
        """The bytes from `start` to `end`, both counted from the end where they are negative."""
        start, end = asked.whole("start"), asked.whole("end")
        if start is None or end is None:
            raise missing("start" if start is None else "end")
        data = self._read(asked) or b""
        first = max(0, len(data) + start) if start < 0 else start
        last = len(data) + end if end < 0 else end
        return readable(part) if (part := data[first : max(0, last + 1)]) else None

    def strlen(self, asked: Asked) -> dict[str, int]:
        """How many bytes a value has."""
        return {"length": len(self._read(asked) or b"")}

    def getset(self, asked: Asked) -> str | None:
        """Keep a value; the one before, so it takes a key that may read as well."""
        key, data = asked.text("key"), written(asked.value("value"))
        asked.permit(key)
        asked.caller.require(Permission.READ)
        self._count(asked, sets=1)
        before = self._entries.change(key, lambda cell: self._entries.put(key, data))
        return None if before is None else readable(shown(before.value))

    # --- what they share --------------------------------------------------------------------

    def _count(self, asked: Asked, **more: int) -> None:
        for only in {(), tuple(asked.caller.only)}:
            self._tallies[only].update(more)

    def _read(self, asked: Asked) -> bytes | None:
        cell = self._entries.get(asked.text("key"), asked.caller)
        self._count(asked, gets=1, hits=int(cell is not None))
        return None if cell is None else shown(cell.value)

    def _rewrite(self, asked: Asked, change: Callable[[bytes], bytes]) -> dict[str, int]:
        key, length = asked.text("key"), 0
        asked.permit(key)

        def changed(cell: Cell | None) -> Put:
            nonlocal length
            data = change(b"" if cell is None else shown(cell.value))
            length = len(data)
            return self._entries.put(key, data, left(cell))

        self._count(asked, sets=1)
        self._entries.change(key, changed)
        return {"length": length}

    def _touch(self, key: str, ttl: int | None, asked: Asked) -> bool:
        if not asked.caller.knows(key):
            return False
        [there] = self._entries.store.kv_touch([key_of(key)], ttl)
        return there

    def _delete(self, keys: list[str], asked: Asked) -> int:
        known = [key_of(key) for key in dict.fromkeys(keys) if asked.caller.knows(key)]
        deleted = self._entries.store.kv_delete(known) if known else 0
        self._count(asked, dels=deleted)
        return deleted


def _ttl(asked: Asked) -> int | None:
    """For how long to keep a value, in microseconds: by `expiry`, or seconds of `ttl`."""
    expiry = asked.payload.get("expiry")
    if expiry is None:
        return seconds(asked.count("ttl"))
    return span_of(expiry)


def _keys(found: list[str]) -> dict[str, Any]:
    return {"keys": found, "count": len(found)}


def _json(data: bytes) -> Any:
    """What the bytes mean as JSON; null if they are none."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return None


def _meant(data: bytes) -> Any:
    """What the bytes mean as JSON, or what they say; null if they are no text."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return None if kept(data)[:1] == b"\0" else data.decode()
