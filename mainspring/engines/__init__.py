"""The engines by the scheme of a URL; each is imported only when a URL asks for it."""

import os
from importlib import import_module

from mainspring.errors import ConfigError
from mainspring.store import Store
from mainspring.urls import without_password

_HTTP = "mainspring.engines.http.store:HttpStore"
_POSTGRES = "mainspring.engines.postgres.store:PostgresStore"
_REDIS = "mainspring.engines.redis.store:RedisStore"
_REDIS_SCHEMES = [
    f"{name}{kind}"
    for name in ("redis", "rediss", "valkey", "valkeys")
    for kind in ("", "+sentinel", "+cluster")
]

ENGINES = {
    "sqlite": "mainspring.engines.sqlite.store:SqliteStore",
    "postgresql": _POSTGRES,
    "postgres": _POSTGRES,
    **dict.fromkeys(_REDIS_SCHEMES, _REDIS),
    "http": _HTTP,
    "https": _HTTP,
    "shards": "mainspring.engines.shards.store:ShardsStore",
}
EXTRAS = {
    "postgresql": "postgres",
    "postgres": "postgres",
    **dict.fromkeys(_REDIS_SCHEMES, "redis"),
}
"""Which extra brings the library that a scheme needs."""


def schemes() -> str:
    """The schemes one may begin a URL with, in words; those for TLS, clusters and Sentinel left
    out."""
    plain = (name for name in ENGINES if "+" not in name and name[:-1] not in ENGINES)
    return ", ".join(f"{name}://" for name in plain)


def store_url(url: object) -> str:
    """The URL, if a store can be behind it; its engine looks closer when it is opened."""
    scheme, separator, place = str(url).partition("://")
    shown = without_password(repr(url))
    if "\0" in place or "%00" in place:
        raise ConfigError(f"store URL: expected a path without NUL, got {shown}")
    whole = (place.startswith(("/", ":memory:")) and place != "/") or scheme != "sqlite"
    if isinstance(url, str) and separator and scheme in ENGINES and whole:
        return url
    file = place if separator else scheme.removeprefix("sqlite:")
    place_given = isinstance(url, str | os.PathLike) and file.strip("/")
    if not place_given or (separator and scheme != "sqlite") or "@" in file:
        file = "jobs.db"
    raise ConfigError(
        f"store URL: expected one of {schemes()}, such as 'sqlite:///{file}', got {shown}"
    )


def open_store(url: str, api_key: str | None = None) -> Store:
    """The store behind this URL, opened; `api_key` is for those that ask for one. `ConfigError`
    for a URL that names none."""
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in ENGINES:
        raise ConfigError(f"store URL: expected one of {schemes()}, got {without_password(url)!r}")
    module, _, name = ENGINES[scheme].partition(":")
    try:
        engine = getattr(import_module(module), name)
    except ImportError as error:
        if scheme not in EXTRAS:
            raise
        raise ConfigError(
            f"store URL: {scheme}:// needs the extra {EXTRAS[scheme]!r} ({error}):"
            f" pip install 'mainspring[{EXTRAS[scheme]}]'"
        ) from error
    store: Store = engine(url, api_key) if scheme in ("http", "https") else engine(url)
    store.open()
    return store
