"""An SQLite URL, taken apart."""

import os
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from mainspring.errors import ConfigError
from mainspring.urls import without_password

FORM = "sqlite:///relative.db, sqlite:////absolute/path.db or sqlite://:memory:"
DURABILITIES = ("full", "relaxed")


class Address(NamedTuple):
    """Where the file is (None: in memory, private to the store) and how durable it is."""

    path: str | None
    durability: str = "full"

    @property
    def place(self) -> str:
        """The place as errors name it."""
        return self.path or "the store in memory"


def address(url: str) -> Address:
    """The parts of `url`; `ConfigError` says what was expected."""
    shown = without_password(url)
    place, _, query = url.partition("?")
    _, _, place = place.partition("://")
    in_memory = place in (":memory:", "/:memory:")
    if not in_memory and (not place.startswith("/") or place == "/"):
        raise ConfigError(f"SQLite URL: expected {FORM}, got {shown!r}")
    durability = "full"
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name != "durability":
            raise ConfigError(f"{shown!r}: expected no option but durability, got {name!r}")
        if value not in DURABILITIES:
            raise ConfigError(f"{shown!r}: durability is full or relaxed, got {value!r}")
        durability = value
    if in_memory:
        return Address(None, durability)
    if "\0" in unquote(place):
        raise ConfigError(f"SQLite URL: expected a path without NUL, got {shown!r}")
    # By any of its names a file has one lock, one bell, and a log of its own.
    return Address(os.path.realpath(unquote(place[1:])), durability)
