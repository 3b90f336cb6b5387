"""Passwords in URLs of stores: never shown, and refused when they may be taken for something else.

A password that holds `@`, `/` or the like must be percent-encoded. One that is not splits the URL
at the wrong place, and a part of it would pass for a host or a database, and be shown as such.
"""

import re

from mainspring.errors import ConfigError

_BEHIND_USER = re.compile(
    # Up to the last @ before the options, or before the URL of the next shard.
    r"(://[^:/@\s]*):(?!//)(?:(?!\?\w+=|\s[\w-]+=[\w+]+://).)*@"
)
_OPTION = re.compile(r"([?&](?:\w*password=|listen=(?=[^&\s]*%40)))[^&\s]*")


def without_password(url: str) -> str:
    """The URL as it may be shown; also one that holds several, as that of shards."""
    return _OPTION.sub(r"\1***", _BEHIND_USER.sub(r"\1:***@", url))


def refuse_bare_password(url: str, reserved: str = "@/?") -> None:
    """`ConfigError` if user and password hold one of these characters, or white space."""
    place, _, query = url.partition("://")[2].partition("?")
    if "@" in query.partition("=")[0]:
        place = f"{place}?{query}"
    credentials, _, _ = place.rpartition("@")
    if found := re.search(rf"[\s{re.escape(reserved)}]", credentials):
        raise ConfigError(
            f"store URL: percent-encode the password (%{ord(found[0]):02X} for {found[0]!r}):"
            " what stands before the host holds characters that end it"
        )
