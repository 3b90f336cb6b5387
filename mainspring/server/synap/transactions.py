"""Transactions: Synap's commands `transaction.*`, and the writes that wait for their `exec`.

What waits is an entry of the store itself, so that each command of a transaction may come to
another process. `exec` writes all of it and takes that entry away in one call, on the condition
that nothing it looked at has changed: so it happens once, and as a whole.
"""

from collections.abc import Callable
from typing import Any, Literal

import msgspec
from msgspec import Struct

from mainspring.cells import OWN, Cell, Put
from mainspring.durations import HOUR
from mainspring.errors import VersionConflict
from mainspring.keys import Permission
from mainspring.kv import key_of
from mainspring.options import text
from mainspring.server.backend.service import Service
from mainspring.server.synap.asking import Asked, Command, Table
from mainspring.server.synap.cells import left
from mainspring.server.synap.refusals import Refused, invalid

BEGUN = f"{OWN}synap/transaction/"
KEPT = HOUR
"""How long a transaction waits for its next command, in microseconds."""

LONGEST_ID = 255
LARGEST = 4_000_000
"""Bytes of what may wait in a transaction."""

BEYOND = 2**63


class Step(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A write that waits: a value to keep, an entry to remove, a number to add."""

    op: Literal["set", "del", "add"]
    key: str
    value: bytes = b""
    ttl: int | None = None
    by: int = 0


class Begun(Struct, omit_defaults=True):
    """A transaction: the writes that wait, and the versions of entries that must not change. One
    that only watches has not begun."""

    begun: bool = False
    steps: list[Step] = []
    watched: dict[str, int] = {}


class Draft(Struct):
    """What an entry becomes; no value: none."""

    value: bytes | None
    ttl: int | None


_BEGUN = msgspec.json.Decoder(Begun)


class Transactions:
    """What can be asked of transactions."""

    def __init__(self, service: Service) -> None:
        self._app = service.app

    def commands(self) -> Table:
        """Each command by its name."""
        runs: dict[str, Callable[[Asked], Any]] = {
            "multi": self.multi,
            "exec": self.exec,
            "discard": self.discard,
            "watch": self.watch,
            "unwatch": self.unwatch,
        }
        return {f"transaction.{n}": Command(Permission.ENQUEUE, run) for n, run in runs.items()}

    def queued(self, asked: Asked, step: Step) -> bool:
        """Have a write wait, if a transaction of that `client_id` has begun or watches."""
        if not asked.text_or("client_id", ""):
            return False
        key_of(step.key)
        return self._change(_place(asked), lambda begun: begun.steps.append(step))

    def multi(self, asked: Asked) -> dict[str, Any]:
        """Begin a transaction."""

        def begin(begun: Begun) -> None:
            if begun.begun:
                raise invalid("Transaction already in progress")
            begun.begun = True

        self._change(_place(asked), begin, make=True)
        return _done("started")

    def watch(self, asked: Asked) -> dict[str, Any]:
        """Have `exec` do nothing if one of these entries changes until then."""
        keys = [key_of(key) for key in dict.fromkeys(asked.texts("keys"))]
        if not keys:
            raise invalid("Keys list cannot be empty")
        known = [key for key in keys if asked.caller.knows(key)]
        versions = {k: c.version if c else 0 for k, c in self._found(known).items()}
        # Of an entry that is watched twice the version that was seen first counts.
        self._change(
            _place(asked),
            lambda begun: begun.watched.update({**versions, **begun.watched}),
            make=True,
        )
        return {"success": True, "message": "Keys watched"}

    def unwatch(self, asked: Asked) -> dict[str, Any]:
        """Let all entries change."""
        self._change(_place(asked), lambda begun: begun.watched.clear())
        return {"success": True, "message": "Keys unwatched"}

    def discard(self, asked: Asked) -> dict[str, Any]:
        """Forget a transaction."""
        if not self._app.store.kv_delete([_place(asked)]):
            raise _none()
        return _done("discarded")

    def exec(self, asked: Asked) -> dict[str, Any]:
        """Do all that waits, or nothing if an entry that is watched has changed."""
        place = _place(asked)
        while True:
            [cell] = self._app.store.kv_get([place])
            if cell is None:
                raise _none()
            begun = _BEGUN.decode(cell.value)
            found = self._found([*begun.watched, *(step.key for step in begun.steps)])
            versions = {key: each.version if each else 0 for key, each in found.items()}
            if any(versions[key] != version for key, version in begun.watched.items()):
                self._app.store.kv_delete([place])
                return {
                    "aborted": True,
                    "message": "Transaction aborted: watched keys changed",
                }
            drafts = {
                key: Draft(each.value if each else None, left(each)) for key, each in found.items()
            }
            try:
                results = [_carry_out(step, drafts) for step in begun.steps]
            except Refused:
                self._app.store.kv_delete([place])
                raise
            puts = [_put(key, draft, versions[key]) for key, draft in drafts.items()]
            try:
                self._app.store.kv_set([*puts, Put(place, b"", 0, cell.version)])
            except VersionConflict:
                continue
            return {"success": True, "results": results}

    def _found(self, keys: list[str]) -> dict[str, Cell | None]:
        once = list(dict.fromkeys(keys))
        return dict(zip(once, self._app.store.kv_get(once) if once else [], strict=True))

    def _change(self, place: str, change: Callable[[Begun], object], *, make: bool = False) -> bool:
        """Change a transaction, with nobody in between; whether there is one."""
        while True:
            [cell] = self._app.store.kv_get([place])
            if cell is None and not make:
                return False
            begun = Begun() if cell is None else _BEGUN.decode(cell.value)
            change(begun)
            value = msgspec.json.encode(begun)
            if len(value) > LARGEST:
                raise invalid(f"expected at most {LARGEST:,} bytes in a transaction")
            try:
                self._app.store.kv_set([Put(place, value, KEPT, cell.version if cell else 0)])
            except VersionConflict:
                continue
            return True


def _place(asked: Asked) -> str:
    """Where the transaction is kept: one of this caller, by the id that the client gave it."""
    id = text(asked.text_or("client_id", "") or asked.request_id, "client_id", LONGEST_ID)
    return f"{BEGUN}{asked.caller.key}/{id}"


def _carry_out(step: Step, drafts: dict[str, Draft]) -> dict[str, Any]:
    """What the step makes of the entries; what is told of it."""
    draft = drafts[step.key]
    match step.op:
        case "set":
            drafts[step.key] = Draft(step.value, step.ttl)
            return {"ok": True}
        case "del":
            drafts[step.key] = Draft(None, None)
            return {"deleted": int(draft.value is not None)}
        case "add":
            total = _integer(step.key, draft.value) + step.by
            if not -BEYOND <= total < BEYOND:
                raise Refused(400, f"Invalid value: key {step.key!r} would go beyond 64 bits")
            drafts[step.key] = Draft(b"%d" % total, draft.ttl)
            return {"value": total}


def _integer(key: str, value: bytes | None) -> int:
    try:
        return 0 if value is None else msgspec.json.decode(value, type=int)
    except msgspec.DecodeError:
        raise Refused(400, f"Invalid value: key {key!r} is no integer of 64 bits") from None


def _put(key: str, draft: Draft, version: int) -> Put:
    """What writes the draft over that version. Nothing is written as what is over at once; an entry
    that is only watched is written as it was, since a write is what can be conditional."""
    if draft.value is None:
        return Put(key, b"null", 0, version)
    return Put(key, draft.value, draft.ttl, version)


def _done(what: str) -> dict[str, Any]:
    return {"success": True, "message": f"Transaction {what}"}


def _none() -> Refused:
    return invalid("No transaction in progress")
