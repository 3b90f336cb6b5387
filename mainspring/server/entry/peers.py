"""Peers: from where a request comes, also where proxies hand it on."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeAlias

from starlette.types import Scope

from mainspring.server.terms import Network

Address: TypeAlias = IPv4Address | IPv6Address

SCHEMES = {"http": ("http", "ws"), "https": ("https", "wss")}
"""What a proxy calls a scheme, and that of a request and of a WebSocket."""


class Peers:
    """Believes X-Forwarded-For and X-Forwarded-Proto of the listed proxies, and of nobody else."""

    def __init__(self, proxies: Sequence[Network]) -> None:
        self._listed = lru_cache(10_000)(lambda host: _within(host, proxies))

    def correct(self, scope: Scope) -> None:
        """Put into the scope who asks by way of a listed proxy, and by which scheme."""
        client = scope.get("client")
        if client is None or not self._listed(client[0]):
            return
        told = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        scope["client"] = (self._asker(told, client[0]), 0)
        for name, value in scope["headers"]:
            if name == b"x-forwarded-proto":
                pair = SCHEMES.get(value.decode("latin-1").rpartition(",")[2].strip().lower())
                if pair:
                    scope["scheme"] = pair[scope["type"] == "websocket"]

    def _asker(self, told: Iterable[bytes], nearest: str) -> str:
        """The last that no listed proxy has, each having added whom it saw at the end."""
        for part in reversed(b",".join(told).decode("latin-1").split(",")):
            address = _address(part.strip())
            if address is None:
                break
            nearest = str(address)
            if not self._listed(nearest):
                break
        return nearest


def _within(host: str, networks: Sequence[Network]) -> bool:
    address = _address(host)
    return address is not None and any(address in network for network in networks)


def _address(text: str) -> Address | None:
    """The address, without a port; None if it is none."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        return found.ipv4_mapped
    return found
