"""The schema: which version the store has, and whether what lies under its keys is ours."""

from mainspring.engines.redis.client import Client
from mainspring.engines.redis.trouble import trouble
from mainspring.errors import SchemaError

VERSION = 1

_TYPES = {
    **dict.fromkeys(
        (
            *(
                "meta",
                "body",
                "at",
                "id",
                "count",
                "left",
                "span",
                "queue",
                "policy",
                "grant",
                "holds",
            ),
            *("unique", "result", "progress", "mortal", "worker", "knows", "wanted", "kv"),
            *("post", "post:at"),
        ),
        b"hash",
    ),
    **dict.fromkeys(("leases", "settled", "kept", "minutes", "kv:keys", "kv:due"), b"zset"),
    **dict.fromkeys(("blocked", "asked", "releases", "returns"), b"set"),
    "number": b"string",
}
"""The kinds of the keys whose names are always the same."""


def migrate(client: Client) -> int:
    """Create the schema or bring it up to date; the version. `SchemaError` for a newer one and for
    what is not ours."""
    with trouble(client.place):
        _look_at_types(client)
        client.redis.hsetnx(client.key("meta"), "version", VERSION)
        told = client.redis.hget(client.key("meta"), "version")
    if told is None or not told.isdigit():
        raise SchemaError(f"{client.place}: expected the version of a schema, got {told!r}")
    if int(told) > VERSION:
        raise SchemaError(
            f"{client.place}: schema {int(told)} is newer than {VERSION}, the one this version"
            " of mainspring knows; update mainspring"
        )
    return VERSION


def _look_at_types(client: Client) -> None:
    pipe = client.redis.pipeline(transaction=False)
    for name in _TYPES:
        pipe.type(client.key(name))
    for (name, expected), found in zip(_TYPES.items(), pipe.execute(), strict=True):
        if found not in (expected, b"none"):
            raise SchemaError(
                f"{client.place}: the key {client.key(name)} should be a {expected.decode()},"
                f" it is a {found.decode()}; use another prefix"
            )
