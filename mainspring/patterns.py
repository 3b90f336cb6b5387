"""Patterns: which topics somebody wants to hear of, and who wants to hear of a topic.

A topic has levels, split at dots. In a pattern `*` stands for any run of characters within a level,
so alone for any one level, and `#`, which can only be the last, for any number of levels or none.
"""

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from mainspring.errors import InvalidArguments
from mainspring.options import text

T = TypeVar("T")

LONGEST_TOPIC = 255
MOST_LEVELS = 32

REST = "#"


def topic(name: object) -> str:
    """The name of a topic; `InvalidArguments` if it cannot be one."""
    levels = _levels(name, "topic")
    if any(wild in level for level in levels for wild in "*#"):
        raise InvalidArguments(
            f"topic: expected a name without * and #, which are for patterns, got {name!a}"
        )
    return ".".join(levels)


def pattern(name: object) -> str:
    """A pattern of topics; `InvalidArguments` if it cannot be one."""
    levels = _levels(name, "pattern")
    if any(REST in level for level in levels[:-1]) or (REST in levels[-1] and levels[-1] != REST):
        raise InvalidArguments(f"pattern: expected # only as the whole last level, got {name!a}")
    return ".".join(levels)


def patterns(names: Iterable[object]) -> tuple[str, ...]:
    """Several patterns, at least one."""
    found = tuple(dict.fromkeys(pattern(name) for name in names))
    if not found:
        raise InvalidArguments("topics: expected at least one, such as 'orders.*', got none")
    return found


def _levels(name: object, what: str) -> list[str]:
    levels = text(name, what, LONGEST_TOPIC).split(".")
    if not all(levels):
        raise InvalidArguments(f"{what}: expected levels with a dot between them, got {name!a}")
    if len(levels) > MOST_LEVELS:
        raise InvalidArguments(f"{what}: expected at most {MOST_LEVELS} levels, got {len(levels)}")
    return levels


class Audience(Generic[T]):
    """Who listens to what, as a tree: a level leads on to the next by its name, by a pattern, or
    to all the rest. So a topic costs what its levels and those who may match do, not all who
    listen."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def add(self, pattern: str, who: T) -> None:
        """From now on it listens to that."""
        node = self._root
        for level in pattern.split("."):
            node = node.next(level)
        node.here.add(who)

    def discard(self, pattern: str, who: T) -> None:
        """It listens no more to that."""
        way = [self._root]
        levels = pattern.split(".")
        for level in levels:
            if (found := way[-1].known(level)) is None:
                return
            way.append(found)
        way[-1].here.discard(who)
        for node, level in zip(reversed(way[:-1]), reversed(levels), strict=True):
            node.forget(level)

    def of(self, topic: str) -> set[T]:
        """Those who listen to it."""
        found: set[T] = set()
        nodes = [self._root]
        for level in topic.split("."):
            for node in nodes:
                if node.rest is not None:
                    found |= node.rest.here
            nodes = [further for node in nodes for further in node.matching(level)]
        for node in nodes:
            found |= node.here
            if node.rest is not None:
                found |= node.rest.here
        return found

    def __bool__(self) -> bool:
        return not self._root.is_idle()


class _Node(Generic[T]):
    """A place in the tree: who wants what ends here, and the ways that lead on."""

    __slots__ = ("_named", "_wild", "here", "rest")

    def __init__(self) -> None:
        self.here: set[T] = set()
        self.rest: _Node[T] | None = None
        self._named: dict[str, _Node[T]] = {}
        self._wild: dict[str, tuple[list[str], _Node[T]]] = {}

    def next(self, level: str) -> "_Node[T]":
        if (known := self.known(level)) is not None:
            return known
        node: _Node[T] = _Node()
        if level == REST:
            self.rest = node
        elif "*" in level:
            self._wild[level] = level.split("*"), node
        else:
            self._named[level] = node
        return node

    def known(self, level: str) -> "_Node[T] | None":
        if level == REST:
            return self.rest
        if "*" in level:
            found = self._wild.get(level)
            return found and found[1]
        return self._named.get(level)

    def forget(self, level: str) -> None:
        """Let go of that way if nobody is on it."""
        if (node := self.known(level)) is None or not node.is_idle():
            return
        if level == REST:
            self.rest = None
        else:
            self._named.pop(level, None)
            self._wild.pop(level, None)

    def matching(self, level: str) -> "Iterator[_Node[T]]":
        if (named := self._named.get(level)) is not None:
            yield named
        for parts, node in self._wild.values():
            if _fits(level, parts):
                yield node

    def is_idle(self) -> bool:
        return not (self.here or self.rest or self._named or self._wild)


def _fits(level: str, parts: list[str]) -> bool:
    """Whether these are in the level in this order, the first and the last at its ends. In one go:
    a regular expression with many stars might take for ever."""
    first, *middle, last = parts
    at, end = len(first), len(level) - len(last)
    if end < at or not (level.startswith(first) and level.endswith(last)):
        return False
    for part in middle:
        if (found := level.find(part, at, end)) < 0:
            return False
        at = found + len(part)
    return True
