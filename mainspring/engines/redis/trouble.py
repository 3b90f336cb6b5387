"""The server's errors and the network's, as mainspring's."""

from collections.abc import Iterator
from contextlib import contextmanager

from redis import exceptions as told

from mainspring.errors import (
    ConfigError,
    MainspringError,
    SchemaError,
    StoreFull,
    StoreUnavailable,
)

_AWAY = (
    *("BUSY", "LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS"),
    *("MISCONF", "UNBLOCKED", "MOVED", "ASK", "NOSCRIPT"),
)
"""First words of what a server says that cannot serve now."""

_KINDS_AWAY = (
    told.ConnectionError,
    told.TimeoutError,
    told.ReadOnlyError,
    told.ClusterError,
    told.ClusterDownError,
    told.MasterDownError,
    told.TryAgainError,
    told.RedisClusterException,
)


def translated(error: BaseException, place: str) -> MainspringError | None:
    """The error of ours that says the same; None for all others, such as a mistake in a script:
    that is a fault of this engine, and is shown as it is."""
    # What follows is a client of redis-py, printed with all that it was made of.
    text = str(error).partition(" : <")[0]
    if isinstance(error, told.OutOfMemoryError) or "OOM command not allowed" in text:
        return StoreFull(f"{place}: the server's memory is full ({text}); nothing was written")
    denied = isinstance(error, told.AuthenticationError | told.NoPermissionError)
    if denied or text.startswith(("NOAUTH", "WRONGPASS", "NOPERM")):
        return ConfigError(f"{place}: the server refuses us: {text}")
    if isinstance(error, _KINDS_AWAY) or text.startswith(_AWAY):
        return StoreUnavailable(f"{place}: {text or type(error).__name__}")
    if "WRONGTYPE" in text:
        return SchemaError(f"{place}: a key of the store holds something else ({text})")
    if isinstance(error, OSError):
        return StoreUnavailable(f"{place}: {text}")
    return None


@contextmanager
def trouble(place: str) -> Iterator[None]:
    """Raise what the server and the network say in the block as errors of ours."""
    try:
        yield
    except (told.RedisError, told.RedisClusterException, OSError) as error:
        ours = translated(error, place)
        if ours is None:
            raise
        raise ours from error


@contextmanager
def first_contact(place: str) -> Iterator[None]:
    """The same, where the URL is tried for the first time: a server that answers something else
    is not what the URL says."""
    try:
        with trouble(place):
            yield
    except (told.RedisError, told.RedisClusterException) as error:
        raise ConfigError(
            f"{place}: expected a Redis or Valkey server as the URL says, got the answer {error}"
        ) from error
