"""The engines by the scheme of a URL; each is imported only when a URL asks for it."""

from importlib import import_module

from mainspring.errors import ConfigError
from mainspring.store import Store

ENGINES = {
    "shards": "mainspring.engines.shards.store:ShardsStore",
    "sqlite": "mainspring.engines.sqlite.store:SqliteStore",
}


def open_store(url: str) -> Store:
    """The store behind this URL, opened. `ConfigError` for a URL that names none."""
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in ENGINES:
        known = ", ".join(f"{name}://" for name in sorted(ENGINES))
        raise ConfigError(f"store URL: expected one of {known}, got {url!r}")
    module, _, name = ENGINES[scheme].partition(":")
    store: Store = getattr(import_module(module), name)(url)
    store.open()
    return store
