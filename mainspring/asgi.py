"""The way from an app to its server, which is imported only when somebody asks for it."""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from importlib import import_module
from typing import Any, TypeAlias

from mainspring.errors import ConfigError

Message: TypeAlias = MutableMapping[str, Any]
Asgi: TypeAlias = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]
"""An ASGI application, as frameworks mount it and servers run it."""


def application(app: object, hosts: Sequence[str], keys: bool | None, synap: bool) -> Asgi:
    """The ASGI application over this app; `ConfigError` where the extra `server` is missing."""
    made: Asgi = server("application").application(app, hosts=hosts, keys=keys, synap=synap)
    return made


def server(module: str) -> Any:
    """A module of the server; `ConfigError` where its libraries are missing."""
    try:
        return import_module(f"mainspring.server.{module}")
    except ImportError as error:
        raise ConfigError(
            f"the server needs the extra 'server' ({error}): pip install 'mainspring[server]'"
        ) from error
