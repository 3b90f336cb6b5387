"""The engines by the scheme of a URL; each is imported only when a URL asks for it."""

from importlib import import_module

from mainspring.errors import ConfigError
from mainspring.store import Store

_REDIS = "mainspring.engines.redis.store:RedisStore"

ENGINES = {
    "sqlite": "mainspring.engines.sqlite.store:SqliteStore",
    **{
        f"{name}{kind}": _REDIS
        for name in ("redis", "rediss", "valkey", "valkeys")
        for kind in ("", "+sentinel", "+cluster")
    },
    "shards": "mainspring.engines.shards.store:ShardsStore",
}
EXTRAS = {"redis": "redis"}
"""Which extra brings the library that an engine needs, by the name of the library."""


def schemes() -> str:
    """The schemes one may begin a URL with, in words; those for TLS, clusters and Sentinel left
    out."""
    plain = (name for name in ENGINES if "+" not in name and name[:-1] not in ENGINES)
    return ", ".join(f"{name}://" for name in plain)


def open_store(url: str) -> Store:
    """The store behind this URL, opened. `ConfigError` for a URL that names none."""
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in ENGINES:
        raise ConfigError(f"store URL: expected one of {schemes()}, got {url!r}")
    module, _, name = ENGINES[scheme].partition(":")
    try:
        engine = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        raise ConfigError(
            f"store URL: {scheme}:// needs the extra {EXTRAS[error.name]!r}:"
            f" pip install 'mainspring[{EXTRAS[error.name]}]'"
        ) from None
    store: Store = engine(url)
    store.open()
    return store
