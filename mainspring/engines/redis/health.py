"""Health: how the server stands, what it promises, and what its owner should know."""

from typing import Any, NamedTuple

from redis import exceptions as told

from mainspring.engines.redis.client import Client
from mainspring.engines.redis.schema import VERSION
from mainspring.engines.redis.trouble import trouble
from mainspring.errors import ConfigError
from mainspring.store import Health

NEARLY_FULL = 0.9

_FSYNC = {
    "always": "always: an answered write survives a crash of the machine",
    "everysec": "everysec: a crash of the machine may lose the last second or two, a crash of the"
    " server nothing",
    "no": "appendfsync no: a crash of the machine may lose what the system had not yet written,"
    " some 30 seconds",
}


class Server(NamedTuple):
    """What a server tells of itself; None where it does not."""

    version: str
    eviction: str | None
    append_only: bool | None
    fsync: str | None
    saves: bool | None
    used: float
    limit: float
    replicas: int


def server(client: Client) -> Server:
    """Ask the server. Its configuration may be closed to us."""
    with trouble(client.place):
        info = _one(client.redis.info())
        config: dict[str, Any] = {}
        for name in ("maxmemory-policy", "appendonly", "appendfsync", "save"):
            try:
                config |= _one(client.redis.config_get(name))
            except told.ResponseError:
                break
    name = "Valkey" if info.get("server_name") == "valkey" else "Redis"
    number = info.get("valkey_version") or info.get("redis_version", "unknown")
    append_only = config.get("appendonly")
    return Server(
        version=f"{name} {number}",
        eviction=config.get("maxmemory-policy") or info.get("maxmemory_policy"),
        append_only=bool(info.get("aof_enabled")) if append_only is None else append_only == "yes",
        fsync=config.get("appendfsync"),
        saves=None if "save" not in config else bool(config["save"]),
        used=float(info.get("used_memory", 0)),
        limit=float(info.get("maxmemory", 0)),
        replicas=int(info.get("connected_slaves", 0)),
    )


def _one(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer of one node, where a cluster gives those of many."""
    first = next(iter(answer.values()), None)
    return first if isinstance(first, dict) and ":" in next(iter(answer)) else answer


def refuse_eviction(client: Client, found: Server) -> None:
    """`ConfigError` if the server throws keys away when its memory is full."""
    if found.eviction not in (None, "noeviction"):
        raise ConfigError(
            f"{client.place}: maxmemory-policy is {found.eviction}: the server would throw jobs"
            " away when its memory is full; set it to noeviction"
        )


def durability(found: Server, replicas: int) -> str:
    """What an answered write survives, in words."""
    if found.append_only is None or (found.append_only and found.fsync is None):
        words = "unknown: the server does not tell its settings"
        if found.append_only:
            words = "append-only file, how often it is written is not told"
    elif found.append_only:
        words = _FSYNC.get(found.fsync or "", f"appendfsync {found.fsync}")
    elif found.saves:
        words = "snapshots only: a crash loses everything since the last one"
    elif found.saves is None:
        words = "no append-only file: a crash may lose jobs"
    else:
        words = "none: everything is gone when the server ends"
    if replicas:
        words += f"; answered when {replicas} replica{'s' * (replicas > 1)} have it"
    return words


def health(client: Client, replicas: int) -> Health:
    """Words and figures; sizes in bytes."""
    found = server(client)
    warnings = []
    if found.append_only is False:
        warnings.append("jobs may be lost when the server ends; set appendonly yes")
    if found.eviction not in (None, "noeviction"):
        warnings.append(
            f"maxmemory-policy is {found.eviction}: the server would throw jobs away when its"
            " memory is full; set it to noeviction"
        )
    if found.limit and found.used > NEARLY_FULL * found.limit:
        warnings.append(
            f"{found.used:,.0f} of {found.limit:,.0f} bytes of memory are used: when it is full,"
            " nothing is stored or claimed; raise maxmemory or keep ended jobs for a shorter time"
        )
    if replicas > found.replicas:
        warnings.append(
            f"{found.replicas} replicas are connected, durability=wait:{replicas} needs {replicas}"
        )
    with trouble(client.place):
        jobs = client.redis.hlen(client.key("body"))
    return Health(
        engine="redis",
        version=found.version,
        schema=VERSION,
        durability=durability(found, replicas),
        warnings=tuple(warnings),
        figures={
            "used_bytes": found.used,
            "limit_bytes": found.limit,
            "replicas": float(found.replicas),
            "jobs": float(jobs),
        },
    )
