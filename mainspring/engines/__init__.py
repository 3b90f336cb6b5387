"""The engines by the scheme of a URL; each is imported only when a URL asks for it."""

from importlib import import_module

from mainspring.errors import ConfigError
from mainspring.store import Store

ENGINES = {
    "sqlite": "mainspring.engines.sqlite.store:SqliteStore",
    "postgresql": "mainspring.engines.postgres.store:PostgresStore",
    "postgres": "mainspring.engines.postgres.store:PostgresStore",
}
EXTRAS = {"postgresql": "postgres", "postgres": "postgres"}
"""What is to be installed beside mainspring for a scheme."""


def open_store(url: str) -> Store:
    """The store behind this URL, opened. `ConfigError` for a URL that names none."""
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in ENGINES:
        known = ", ".join(f"{name}://" for name in sorted(ENGINES))
        raise ConfigError(f"store URL: expected one of {known}, got {url!r}")
    module, _, name = ENGINES[scheme].partition(":")
    try:
        engine = getattr(import_module(module), name)
    except ImportError as error:
        if scheme not in EXTRAS:
            raise
        raise ConfigError(
            f"store URL: {scheme}:// needs a library that is not there ({error});"
            f" install mainspring[{EXTRAS[scheme]}]"
        ) from error
    store: Store = engine(url)
    store.open()
    return store
