"""Calls: verbs of the store, and what other routes answer, carried to a server and back."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from mainspring.engines.http.lines import TIMEOUT, Lines, Wish
from mainspring.engines.http.trouble import trouble
from mainspring.errors import PartlyUnavailable, PayloadTooLarge, SchemaError
from mainspring.verbs import (
    CUT,
    LARGEST_CALL,
    MEDIA_TYPE,
    MOST_NAMED,
    PROTOCOL,
    VERBS,
    Greeting,
    encode,
)

T = TypeVar("T")

ONCE = frozenset(
    {"cancel", "replay", "delete", "kv_set", "kv_add", "kv_touch", "kv_delete", "post"}
)
"""What would do more, or answer otherwise, if it were done twice."""

_read_greeting = msgspec.json.Decoder(Greeting).decode


class Calls:
    """All that is asked of one server."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._place = lines.address.shown

    def greet(self) -> None:
        """See who is there, and whether we understand each other."""
        answer = self._lines.ask(Wish("GET", "/store"))
        if answer.status != 200:
            raise trouble(self._place, answer)
        try:
            greeting = _read_greeting(answer.body)
        except ValueError:
            raise SchemaError(f"{self._place}: expected a mainspring server, got another") from None
        if greeting.protocol != PROTOCOL:
            raise SchemaError(
                f"{self._place}: expected a server that speaks protocol {PROTOCOL}, got"
                f" {greeting.protocol} (mainspring {greeting.version}); update the older of the two"
            )

    def call(self, verb: str, *arguments: Any, timeout: float = TIMEOUT) -> Any:
        """What the server's store answers; `timeout` in seconds."""
        return self.carry(verb, encode(arguments), timeout)

    def named(self, verb: str, names: Sequence[Any], *more: Any) -> list[Any]:
        """What is told of all these, a part of them at a time."""
        answers: list[Any] = []
        missed: list[Any] = []
        told = ""
        for at in range(0, len(names), MOST_NAMED):
            try:
                answers += self.call(verb, names[at : at + MOST_NAMED], *more)
            except PartlyUnavailable as error:
                told = str(error)
                answers += error.answer
                missed += error.missed
        if told:
            raise PartlyUnavailable(told, answers, missed)
        return answers

    def listed(
        self,
        verb: str,
        limit: int,
        arguments: Callable[[Any, int], tuple[Any, ...]],
        timeout: float = TIMEOUT,
    ) -> list[Any]:
        """A list, of which the server tells at once what it can hold. `arguments` are those for so
        many behind the last."""
        found: list[Any] = []
        cut = True
        while cut:
            last = found[-1] if found else None
            data = encode(arguments(last, limit - len(found)))
            status, part = self._told(verb, data, timeout)
            found += part
            cut = status == CUT
        return found

    def carry(self, verb: str, data: bytes, timeout: float) -> Any:
        """The same for arguments that were encoded."""
        return self._told(verb, data, timeout)[1]

    def _told(self, verb: str, data: bytes, timeout: float) -> tuple[int, Any]:
        """The status and what is answered."""
        if len(data) > LARGEST_CALL:
            raise PayloadTooLarge(
                f"{verb}: expected at most {LARGEST_CALL:,} bytes in one call, got {len(data):,}"
            )
        may_be = verb not in ONCE, verb not in {*ONCE, "insert"}  # asked for anew: other jobs
        wish = Wish("POST", f"/store/{verb}", data, MEDIA_TYPE, timeout, *may_be)
        answer = self._lines.ask(wish)
        if answer.kind != MEDIA_TYPE:
            raise trouble(self._place, answer)
        try:
            if answer.status in (200, CUT):
                return answer.status, VERBS[verb].answer.decode(answer.body)
            partly = VERBS[verb].partly.decode(answer.body)
        except ValueError as error:
            raise self._other_version(error) from error
        raise PartlyUnavailable(partly.message, partly.answer, partly.missed)

    def request(self, method: str, path: str, form: type[T], body: object = None) -> T:
        """What a route of the server answers, which is JSON of that form. With a body it is not
        repeated once it was sent."""
        data, kind = (None, "") if body is None else (msgspec.json.encode(body), "application/json")
        answer = self._lines.ask(Wish(method, path, data, kind, repeatable=body is None))
        if answer.status >= 300:
            raise trouble(self._place, answer)
        try:
            return msgspec.json.decode(answer.body, type=form)
        except ValueError as error:
            raise self._other_version(error) from error

    def _other_version(self, error: Exception) -> SchemaError:
        return SchemaError(f"{self._place}: expected an answer of this version: {error}")
