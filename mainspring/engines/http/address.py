"""Where a server is, and the key it knows this program by."""

import os
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from mainspring.errors import ConfigError

VARIABLE = "MAINSPRING_API_KEY"

_KEY = re.compile(r"[!-~]{1,500}")


class Address(NamedTuple):
    """The parts of a URL; `prefix` is what stands before all paths, and `shown` tells people."""

    host: str
    port: int
    encrypted: bool
    prefix: str
    shown: str


def address(url: str) -> Address:
    """The parts of `url`; `ConfigError` says what was expected."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigError(f"store URL: expected http://host:port, got one with {error}") from None
    if "@" in parts.netloc:
        raise ConfigError(
            "store URL: expected no user and no password in the URL of a server; its key goes into"
            f" api_key=... or the variable {VARIABLE}"
        )
    if not host:
        raise ConfigError(f"store URL: expected http://host:port, got {url!r}")
    if parts.query or parts.fragment:
        raise ConfigError("store URL: expected no ? and no # in the URL of a server")
    encrypted = parts.scheme == "https"
    prefix = parts.path.rstrip("/")
    if re.search(r"[\s\x00-\x1f\x7f-\U0010ffff]", prefix + host):
        raise ConfigError("store URL: percent-encode what is not plain ASCII")
    port = port if port is not None else 443 if encrypted else 80
    return Address(host, port, encrypted, prefix, f"{parts.scheme}://{parts.netloc}{prefix}")


def key(given: object, environment: Mapping[str, str] = os.environ) -> str:
    """The key that was given or is in the environment, "" if there is none. `ConfigError`."""
    source = "api_key" if given is not None else VARIABLE
    found = given if given is not None else environment.get(VARIABLE, "").strip()
    if found == "" and given is None:
        return ""
    if not isinstance(found, str) or not _KEY.fullmatch(found):
        raise ConfigError(f"{source}: expected up to 500 characters of ASCII without spaces")
    return found
