"""Settle: what finished attempts say to the server, and what became of them."""

from collections import defaultdict
from collections.abc import Sequence
from struct import Struct
from typing import Any, NamedTuple

import msgspec

from mainspring.engines.redis.body import pack_number, pack_token, unpack_token
from mainspring.engines.redis.codes import CODE, COMPLETED, FAILED, RETRYING
from mainspring.engines.redis.handed import Handed, Kind
from mainspring.engines.redis.statistics import Statistics
from mainspring.job import State, Transition

_encode_error = msgspec.msgpack.Encoder().encode
_took = Struct("<d").pack


class Settled(NamedTuple):
    """What became of the transitions."""

    lost: tuple[tuple[int, int], ...]
    cancelled: tuple[int, ...]


class Batch:
    """Transitions on their way to the server."""

    def __init__(self, transitions: Sequence[Transition], handed: Handed) -> None:
        self._transitions = transitions
        self._handed = handed
        self._groups: defaultdict[tuple[int, str], list[Transition]] = defaultdict(list)
        self._others: list[Transition] = []
        self._kinds: dict[tuple[int, int], Kind] = {}
        token, grant = None, {}
        for each in transitions:
            if each.to is not State.COMPLETED or each.error is not None:
                self._others.append(each)
                continue
            if each.token != token:
                token, grant = each.token, handed.grant(each.token)
            kind = grant.get(each.number)
            if kind is not None:
                self._kinds[each.number, each.token] = kind
            self._groups[each.token, kind[0] if kind else ""].append(each)

    def arguments(self) -> list[Any]:
        """As exchange.lua reads them."""
        if not self._transitions:
            return []
        arguments: list[Any] = [len(self._groups)]
        for (token, queue), group in self._groups.items():
            arguments += (pack_token(token), queue, len(group))
            arguments += [
                b"%014d%b" % (each.number, _took(each.took))
                if each.result is None
                else b"%014d%b\1%b" % (each.number, _took(each.took), each.result)
                for each in group
            ]
        for each in self._others:
            arguments += _other(each)
        return arguments

    def settled(self, told: Sequence[Any], statistics: Statistics) -> Settled:
        """What the server says became of them; told to the statistics."""
        wall, lost, cancelled, again, slow, _ = told
        gone = {
            (int(number), unpack_token(token))
            for number, token in zip(lost[::2], lost[1::2], strict=True)
        }
        quick = self._kinds
        if gone or again or slow:
            out = {int(number) for number in again} | {int(number) for number, *_ in slow}
            quick = {
                key: kind for key, kind in quick.items() if key not in gone and key[0] not in out
            }
        self._count(int(wall), quick, slow, statistics)
        for (token, _), group in self._groups.items():
            self._handed.forget(token, [each.number for each in group])
        for each in self._others:
            self._handed.forget(each.token, (each.number,))
        return Settled(
            tuple(
                (each.number, each.token)
                for each in self._transitions
                if (each.number, each.token) in gone
            )
            if gone
            else (),
            tuple(int(number) for number in cancelled),
        )

    def _count(
        self,
        wall: int,
        quick: dict[tuple[int, int], Kind],
        slow: Sequence[Any],
        statistics: Statistics,
    ) -> None:
        runs: defaultdict[Kind, list[int]] = defaultdict(list)
        for group in self._groups.values():
            for each in group:
                if (kind := quick.get((each.number, each.token))) is not None:
                    runs[kind].append(each.took)
        for kind, times in runs.items():
            statistics.ended(wall, kind, times, completed=len(times))
        by_number = {each.number: each for each in self._transitions} if slow else {}
        for number, queue, task, state in slow:
            each = by_number[int(number)]
            statistics.ended(
                wall,
                (queue.decode(), task.decode()),
                [] if each.give_back else [each.took],
                completed=int(state == COMPLETED),
                failed=int(state == FAILED),
                retried=int(state == RETRYING),
            )


def _other(each: Transition) -> tuple[Any, ...]:
    error = each.error
    return (
        pack_number(each.number),
        pack_token(each.token),
        CODE[each.to],
        each.delay,
        each.took,
        b"" if each.result is None else b"\1" + each.result,
        b"" if error is None else _encode_error(error),
        0 if error is None else error.at,
        b"" if each.reason is None else b"\1" + each.reason.encode(),
        int(each.give_back),
        int(each.old_score),
        int(each.careful),
        each.losses,
    )
