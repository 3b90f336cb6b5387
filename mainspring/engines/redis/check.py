"""Check: every invariant of the store that one snapshot can show.

The server stands still while it makes the snapshot: some seconds for a million jobs.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from struct import Struct
from typing import Any

from mainspring.engines.redis.body import (
    Body,
    Row,
    read_body,
    read_row,
    unpack_token,
    words_of,
)
from mainspring.engines.redis.client import Client
from mainspring.engines.redis.codes import (
    ASKED,
    BLOCKED,
    CANCELLED,
    CAREFUL,
    COMPLETED,
    EXPIRES,
    PENDING,
    RETRYING,
    RUNNING,
    SCHEDULED,
    SINGLE,
    STATE,
    SUSPECT,
    UNIQUE,
)

EXAMPLES = 10
"""Of each kind of damage, so many sentences."""

SEGMENT = 4096
_NOBODY = bytes(8)
_number = Struct("<d")
_grant = Struct("<ddIB")
_cell = Struct("<dd")


def check(client: Client) -> list[str]:
    """What is broken, in sentences."""
    snapshot = Snapshot(client.run("snapshot", writes=False))
    found: list[str] = []
    for look in (
        *(snapshot.orphans, snapshot.places, snapshot.counts, snapshot.numbers, snapshot.ids),
        *(snapshot.policies, snapshot.grants, snapshot.holdings, snapshot.edges, snapshot.blocked),
        *(snapshot.releases, snapshot.keys, snapshot.expiries),
        *(snapshot.cell_lists, snapshot.versions, snapshot.posts),
    ):
        sentences = list(islice(look(), EXAMPLES + 1))
        found += sentences[:EXAMPLES]
        if len(sentences) > EXAMPLES:
            found.append(f"… and more of: {sentences[EXAMPLES]}")
    return found


def _pairs(told: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(told[::2], told[1::2], strict=True))


def _scores(told: Sequence[bytes]) -> dict[bytes, int]:
    return {member: int(float(score)) for member, score in _pairs(told).items()}


def _told(key: bytes) -> str:
    return repr(key.decode(errors="backslashreplace"))


def _name(number: bytes) -> str:
    return f"job #{int(number)}"


def _default_row(body: Body, lift: float) -> Row:
    bits = CAREFUL if body.flags & SINGLE else 0
    fixed = (PENDING, 0, body.flags, bits, 0, 0, 0, _NOBODY, _NOBODY)
    return Row(*fixed, body.created - lift, lift, 0)


class Snapshot:
    """The whole store at one moment."""

    def __init__(self, told: Sequence[Any]) -> None:
        heads, at, lanes, kids, fell, parents, ids, *rest = told
        counted, spans, grants, holds, leases, settled, kept, blocked, *rest = rest
        asked, releases, returns, unique, mortal, policies, last, results, progress, *rest = rest
        cells, cell_keys, cell_ends, last_version, post_times, posts, posting = rest
        self.bodies: dict[bytes, Body] = {}
        self.rows: dict[bytes, Row] = {}
        self.words: dict[bytes, str] = {}
        self.stored = _pairs(at)
        for number, head, lift in heads:
            body = self.bodies[number] = read_body(head)
            if (row := self.stored.get(number)) is None:
                self.rows[number] = _default_row(body, _number.unpack(lift)[0])
            else:
                self.rows[number] = read_row(row)
                self.words[number] = words_of(row)
        self.lanes = {name: [_scores(each) for each in rest[:5]] for name, *rest in lanes}
        self.ended = {entry for _, *rest in lanes for each in rest[5:] for entry in each}
        self.kids = {number: _scores(each) for number, each in kids}
        self.fell = {number: set(each) for number, each in fell}
        self.parents = {number: set(each) for number, each in parents}
        self.index, self.counted = _pairs(ids), _pairs(counted)
        self.spans, self.granted, self.holds = _pairs(spans), _pairs(grants), _pairs(holds)
        self.leases, self.settled, self.kept = _scores(leases), _scores(settled), _scores(kept)
        self.waiting, self.asked = set(blocked), set(asked)
        self.released, self.returning = set(releases), set(returns)
        self.unique, self.mortal = _pairs(unique), _pairs(mortal)
        self.known_policies, self.last = set(policies), int(last)
        self.cells, self.last_version = _pairs(cells), int(last_version)
        self.cell_keys, self.cell_ends = _scores(cell_keys), _scores(cell_ends)
        self.post_numbers = {int(number) for number in _pairs(post_times)}
        self.post_texts = {int(number) for number in posts}
        self.posting = [int(n or default) for n, default in zip(posting, (0, 1, 0), strict=True)]
        self.side = {"result": results, "progress": progress}

    def _in(self, *states: int) -> Iterator[tuple[bytes, Row]]:
        return ((number, row) for number, row in self.rows.items() if row.state in states)

    def orphans(self) -> Iterator[str]:
        """Rows of jobs that do not exist."""
        listed: dict[str, Iterable[bytes]] = {
            **self.side,
            "at": self.stored,
            "kept": self.kept,
            "blocked": self.waiting,
            "asked": self.asked,
            "releases": self.released,
            "returns": self.returning,
            "mortal": self.mortal,
            "unique": (holder[:14] for holder in self.unique.values()),
        }
        for queue, lanes in self.lanes.items():
            names = ("ready", "alone", "due", "later", "expiry")
            for name, lane in zip(names, lanes, strict=True):
                listed[f"{name} of {queue.decode()}"] = lane
        for name, numbers in listed.items():
            for number in numbers:
                if number not in self.bodies:
                    yield f"{name} has {_name(number)}, which does not exist"

    def places(self) -> Iterator[str]:
        """Indexes that do not say what the rows say."""
        expected: defaultdict[tuple[bytes, int], dict[bytes, int]] = defaultdict(dict)
        for number, row in self.rows.items():
            queue = self.bodies[number].queue.encode()
            if row.state == PENDING:
                expected[queue, int(bool(row.bits & SUSPECT))][number] = int(row.score)
            elif row.state in (SCHEDULED, RETRYING):
                expected[queue, 2][number] = int(row.at)
                expected[queue, 3][number] = int(row.score)
            elif (
                row.state >= COMPLETED
                and number not in self.kept
                and number + _number.pack(row.at) not in self.ended
            ):
                yield f"{_name(number)} has ended, but nothing will remove it"
        names = ("ready", "alone", "due", "later")
        for queue in {queue for queue, _ in expected} - self.lanes.keys():
            yield f"jobs name the queue {queue.decode()}, which does not exist"
        for queue, lanes in self.lanes.items():
            for at, name in enumerate(names):
                wrong = lanes[at].items() ^ expected[queue, at].items()
                for number in {number for number, _ in wrong}:
                    yield f"{_name(number)} is not where its row says, in {name}"

    def counts(self) -> Iterator[str]:
        """Counts that are not those one gets by counting."""
        counted = Counter((self.bodies[n].queue.encode(), r.state) for n, r in self.rows.items())
        told: dict[tuple[bytes, int], int] = {}
        for field, n in self.counted.items():
            code, _, name = field.partition(b":")
            told[name, int(code)] = int(n)
        for queue, state in told.keys() | counted.keys():
            is_told, are = told.get((queue, state), 0), counted[queue, state]
            if is_told != are:
                yield (
                    f"queue {queue.decode()} counts {is_told} {STATE[state]} jobs, there are {are}"
                )

    def numbers(self) -> Iterator[str]:
        """Numbers beyond the last one given, and segments that count wrongly."""
        for number in self.bodies:
            if int(number) > self.last:
                yield f"the last number given is {self.last}, {_name(number)} exists"
        counted = Counter(int(number) // SEGMENT for number in self.bodies)
        told = {int(segment): int(n) for segment, n in self.spans.items()}
        for segment in told.keys() | counted.keys():
            if told.get(segment, 0) != counted[segment]:
                yield (
                    f"segment {segment} counts {told.get(segment, 0)} jobs,"
                    f" there are {counted[segment]}"
                )

    def ids(self) -> Iterator[str]:
        """Ids that do not lead to their jobs."""
        for number, body in self.bodies.items():
            if self.index.get(body.id) != number:
                yield f"{_name(number)} is not found by its id"
        for number in self.index.values():
            if number not in self.bodies:
                yield f"an id leads to {_name(number)}, which does not exist"

    def policies(self) -> Iterator[str]:
        """Policies that are gone."""
        for number, body in self.bodies.items():
            if body.policy not in self.known_policies:
                yield f"{_name(number)} names a policy that does not exist"

    def grants(self) -> Iterator[str]:
        """Running jobs whose grant does not reach to them."""
        for number, row in self._in(RUNNING):
            held = self.holds.get(row.token, b"")
            if row.token not in self.granted or not any(
                held[at : at + 14] == number for at in range(0, len(held), 14)
            ):
                yield (
                    f"{_name(number)} runs under a grant that does not exist or does not reach"
                    " to it"
                )
        for number, row in self.rows.items():
            asked = row.state == RUNNING and bool(row.bits & ASKED)
            if asked is not (number in self.asked):
                yield f"{_name(number)} is asked to stop, or not, and told otherwise"

    def holdings(self) -> Iterator[str]:
        """Grants that count wrongly."""
        held = Counter(row.token for _, row in self._in(RUNNING))
        for token, row in self.granted.items():
            expires, _, left, _ = _grant.unpack_from(row)
            name = f"grant {unpack_token(token)} of worker {row[_grant.size :].decode()}"
            if left != held[token]:
                yield f"{name} counts {left} jobs, it holds {held[token]}"
            index = self.leases if left else self.settled
            if index.get(token) != int(expires) or (left and token in self.settled):
                yield f"{name} is not where its expiry is looked for"

    def edges(self) -> Iterator[str]:
        """Edges that contradict what they join."""
        for parent, kids in self.kids.items():
            for child, kind in kids.items():
                state = self.rows[child].state if child in self.rows else 0
                if not state:
                    yield f"{_name(parent)} is waited for by {_name(child)}, which does not exist"
                    continue
                if parent not in self.parents.get(child, ()):
                    yield f"{_name(child)} does not know that it depends on {_name(parent)}"
                if state >= COMPLETED:
                    yield f"{_name(child)} has ended, but its edge to {_name(parent)} is kept"
                if kind and state != BLOCKED:
                    yield f"{_name(child)} waits for {_name(parent)}, but is not blocked"
                ended = self.rows[parent].state if parent in self.rows else 0
                done = ended == COMPLETED or (ended > COMPLETED and kind == 2)
                if kind and done and parent not in self.released:
                    yield f"{_name(child)} waits for {_name(parent)}, which has ended"
        for parent, children in self.fell.items():
            for child in children:
                if child not in self.rows or self.rows[child].state != CANCELLED:
                    yield (
                        f"{_name(child)} is said to have been cancelled because of"
                        f" {_name(parent)}, but was not"
                    )
        for child, parents in self.parents.items():
            for parent in parents:
                if child not in self.kids.get(parent, ()) and child not in self.fell.get(
                    parent, ()
                ):
                    yield f"{_name(parent)} does not know that {_name(child)} depends on it"

    def blocked(self) -> Iterator[str]:
        """Blocked jobs whose open edges are counted wrongly."""
        opened = Counter(
            child for kids in self.kids.values() for child, kind in kids.items() if kind
        )
        for number, row in self._in(BLOCKED):
            if not opened[number]:
                yield f"{_name(number)} is blocked, but waits for no job"
            elif opened[number] != int(row.score):
                yield (
                    f"{_name(number)} counts {int(row.score)} jobs that it waits for,"
                    f" there are {opened[number]}"
                )
        blocked = {number for number, _ in self._in(BLOCKED)}
        for number in blocked ^ self.waiting:
            yield f"{_name(number)} is blocked, or not, and listed otherwise"

    def releases(self) -> Iterator[str]:
        """Dependents that are to be released too early."""
        for number in self.released & self.rows.keys():
            if self.rows[number].state < COMPLETED:
                yield f"dependents of {_name(number)} are to be released, but it has not ended"

    def keys(self) -> Iterator[str]:
        """Unique keys that are not held."""
        holders = {holder[:14] for holder in self.unique.values()}
        for number, row in self.rows.items():
            unfinished = row.state < COMPLETED and self.bodies[number].flags & UNIQUE
            if unfinished and number not in holders:
                yield (f"{_name(number)} has a unique key and has not ended, but does not hold it")

    def expiries(self) -> Iterator[str]:
        """Jobs that will not expire, or expire although they do not wait."""
        for number, row in self.rows.items():
            body = self.bodies[number]
            listed = self.lanes.get(body.queue.encode(), [{}] * 8)[4].get(number)
            waits = row.state < COMPLETED and row.state != RUNNING
            if waits and body.flags & EXPIRES:
                if listed is None or listed != int(self.mortal.get(number, b"-1")):
                    yield f"{_name(number)} waits and has a time to live, but nothing will end it"
            elif listed is not None:
                yield f"{_name(number)} does not wait, but is to expire"

    def cell_lists(self) -> Iterator[str]:
        """Entries of the key-value store that no list has, and the other way round."""
        for key in self.cells.keys() ^ self.cell_keys.keys():
            yield f"key {_told(key)} has an entry, or not, and is listed otherwise"
        for key in self.cells.keys() | self.cell_ends.keys():
            ends = int(_cell.unpack(self.cells[key])[1]) if key in self.cells else 0
            if ends != self.cell_ends.get(key, 0):
                yield f"key {_told(key)} has another end than it is listed with"

    def versions(self) -> Iterator[str]:
        """Entries whose version is beyond the last one, or that of another."""
        owner: dict[int, bytes] = {}
        for key, cell in self.cells.items():
            version = int(_cell.unpack(cell)[0])
            if not 1 <= version <= self.last_version:
                last = self.last_version
                yield f"key {_told(key)} has version {version}, the last one given is {last}"
            if (other := owner.setdefault(version, key)) != key:
                yield f"keys {_told(other)} and {_told(key)} have the same version {version}"

    def posts(self) -> Iterator[str]:
        """Posts with a gap between them, or without their text."""
        last, first, _ = self.posting
        expected = set(range(first, last + 1))
        for numbers, what in ((self.post_numbers, "time"), (self.post_texts, "text")):
            for number in sorted(numbers ^ expected):
                has = "no" if number in expected else "a"
                yield f"post #{number} has {has} {what}, #{first} to #{last} are kept"
