"""Upgrades: from payloads that older versions of a task wrote to those of its own version."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from mainspring import codec
from mainspring.errors import InvalidArguments, TaskError, UnknownTask

Upgrade: TypeAlias = Callable[[Any], object]
"""From the payload of one version, as plain JSON values (or bytes), to that of the next."""


class Upgrades:
    """The steps to one task's version. With `named`, payloads are objects of named arguments."""

    def __init__(self, name: str, place: str, version: int, *, named: bool) -> None:
        self.name = name
        self.version = version
        self._place = place
        self._named = named
        self._steps: dict[int, Upgrade] = {}

    def __bool__(self) -> bool:
        return bool(self._steps)

    def add(self, from_: int, step: Upgrade) -> None:
        """Let this function make payloads of version `from_` + 1; `TaskError` if it cannot be."""
        place = f"{self._place}: upgrade(from_={from_!r})"
        if isinstance(from_, bool) or not isinstance(from_, int) or from_ < 1:
            raise TaskError(f"{place}: expected a version, from 1")
        if from_ >= self.version:
            raise TaskError(
                f"{place}: expected a version before the task's own, which is {self.version};"
                f" say @tasks.task(version={from_ + 1}) if the payload has changed"
            )
        if from_ in self._steps:
            raise TaskError(f"{place}: there is one already, {self._steps[from_]!r}")
        _check_function(step, place)
        self._steps[from_] = step

    @property
    def versions(self) -> range:
        """The versions whose payloads can be run."""
        oldest = self.version
        while oldest - 1 in self._steps:
            oldest -= 1
        return range(oldest, self.version + 1)

    def apply(self, payload: bytes, version: int) -> bytes:
        """The payload of that version as one of the task's own.

        `UnknownTask` if no way leads there, `InvalidArguments` if what comes out cannot be stored;
        else what an upgrade raises.
        """
        if version == self.version:
            return payload
        if version not in self.versions:
            raise UnknownTask(self._no_way(version))
        value = self._read(payload)
        for old in range(version, self.version):
            value = self._steps[old](value)
            self._check(value, f"{self.name}: what upgrade(from_={old}) returned")
        try:
            return codec.encode(value, f"{self.name}: what upgrade(from_={old}) returned")
        except InvalidArguments as error:
            raise _misfit(str(error)) from None

    def _read(self, payload: bytes) -> object:
        try:
            value = codec.decode(payload)
        except (ValueError, RecursionError) as error:
            raise _misfit(f"{self.name}: {codec.misfit(error)}") from None
        if value is None and self._named:
            value = {}
        self._check(value, self.name)
        return value

    def _check(self, value: object, what: str) -> None:
        if self._named and not isinstance(value, Mapping):
            kind = type(value).__qualname__
            raise _misfit(f"{what}: expected an object of named arguments, got {kind}")

    def _no_way(self, version: int) -> str:
        if version > self.version:
            return f"{self.name}: version {version} is newer than the task's, {self.version}"
        missing = self.versions[0] - 1
        return f"{self.name}: version {version} cannot be run without upgrade(from_={missing})"


def _misfit(text: str) -> InvalidArguments:
    """To run the job again would not change that."""
    error = InvalidArguments(text)
    error.permanent = True
    return error


def _check_function(step: Upgrade, place: str) -> None:
    if not callable(step) or inspect.iscoroutinefunction(step):
        raise TaskError(f"{place}: expected a plain def that takes the old payload, got {step!r}")
    try:
        inspect.signature(step).bind(None)
    except ValueError:
        return  # Python knows no signature of some builtins
    except TypeError as error:
        raise TaskError(f"{place}: expected a function of the old payload alone: {error}") from None
