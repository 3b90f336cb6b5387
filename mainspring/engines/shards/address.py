"""A shards URL, taken apart: names, where each shard is, and what is said of them.

`shards://a=URL b=URL` holds the URLs as they are, spaces between: a URL has none, so nothing in it
need be encoded, whatever its own query or password. `shards:///shards.toml` names a file that says
the same. Names, not places, decide where a queue lives, so a shard may move to another host.
"""

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from mainspring.engines.shards.placement import slot
from mainspring.errors import ConfigError

FORM = '"shards://a=URL b=URL" (with spaces between) or "shards:///shards.toml"'
MOST = 64
"""Shards of one store: each is asked in turn by a worker that takes all queues."""

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
WORDS = ("draining", "partitioned")
"""What is said of shards and queues; no shard is called so."""


class Address(NamedTuple):
    """The shards by name, which of them get no new jobs, and which queues live in all of them."""

    urls: Mapping[str, str]
    draining: frozenset[str] = frozenset()
    partitioned: frozenset[str] = frozenset()


def address(url: str, environment: Mapping[str, str] = os.environ) -> Address:
    """The parts of `url`; `ConfigError` says what was expected."""
    place = url.partition("://")[2]
    if place.startswith("/"):
        shards, said = _file(Path(unquote(place[1:])))
    else:
        shards, said = _words(place)
    urls = {name: _resolved(name, each, environment) for name, each in shards}
    _check(urls)
    address = Address(urls, *(frozenset(said.get(word, ())) for word in WORDS))
    if unknown := sorted(address.draining - urls.keys()):
        raise ConfigError(f"draining: expected names of shards, got {unknown[0]!r}")
    if address.draining == urls.keys():
        raise ConfigError("draining: expected a shard that takes new jobs, got all that there are")
    return address


Said = tuple[list[tuple[str, str]], dict[str, list[str]]]
"""Names and URLs of shards, and what the other words say."""


def _words(place: str) -> Said:
    shards: dict[str, str] = {}
    said: dict[str, list[str]] = {}
    for word in place.split():
        name, separator, value = word.partition("=")
        if not separator:
            raise ConfigError(f"shards URL: expected {FORM}, got {_shown(name)!r}")
        if name in shards or name in said:
            raise ConfigError(f"shards URL: {name!r} is there twice")
        if name in WORDS:
            said[name] = [unquote(each) for each in value.split(",") if each]
        else:
            shards[name] = value
    return list(shards.items()), said


def _file(path: Path) -> Said:
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: expected a readable TOML file: {error}") from None
    if unknown := [name for name in table if name not in (*WORDS, "shards")]:
        raise ConfigError(f"{path}: expected draining, partitioned, [shards], got {unknown[0]!r}")
    shards = table.get("shards", {})
    if not isinstance(shards, dict) or not _are_texts(shards.values()):
        raise ConfigError(f'{path}: expected a table [shards] of lines such as a = "URL"')
    said: dict[str, list[str]] = {}
    for word in WORDS:
        said[word] = value = table.get(word, [])
        if not isinstance(value, list) or not _are_texts(value):
            raise ConfigError(f"{path}: {word}: expected a list of names, got {value!r}")
    return list(shards.items()), said


def _are_texts(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _resolved(name: str, url: str, environment: Mapping[str, str]) -> str:
    if not url.startswith("env:"):
        return url
    variable = url.removeprefix("env:")
    if not environment.get(variable):
        raise ConfigError(
            f"shard {name!r}: expected a URL in the variable {variable!r}, which is not set"
        )
    return environment[variable]


def _shown(text: str) -> str:
    """What may be a URL in the wrong place, without what may be a password."""
    scheme, separator, _ = text.partition("://")
    return f"{scheme}://…" if separator else "…" if "@" in text else text


def _check(urls: Mapping[str, str]) -> None:
    if not urls:
        raise ConfigError(f"shards URL: expected {FORM}, got no shard")
    if len(urls) > MOST:
        raise ConfigError(f"shards URL: expected at most {MOST} shards, got {len(urls)}")
    names_by_url: dict[str, str] = {}
    names_by_slot: dict[int, str] = {}
    for name, url in urls.items():
        if not NAME.fullmatch(name) or name in WORDS:
            raise ConfigError(
                "shards URL: expected names of a-z, 0-9, - and _, at most 32 characters,"
                f" got {_shown(name)!r}"
            )
        if url.startswith("shards:"):
            raise ConfigError(f"shard {name!r}: expected a store that is not made of shards itself")
        if "://" not in url:
            raise ConfigError(f"shard {name!r}: expected the URL of a store, got {_shown(url)!r}")
        if url in names_by_url and not url.endswith(":memory:"):
            raise ConfigError(f"shards {names_by_url[url]!r} and {name!r} are the same store")
        if (other := names_by_slot.get(slot(name))) is not None:
            raise ConfigError(
                f"shards {other!r} and {name!r} would give the same numbers to jobs:"
                " give the newer one another name"
            )
        names_by_url[url] = names_by_slot[slot(name)] = name
