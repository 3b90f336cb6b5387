"""Terms: on what conditions a server answers."""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from msgspec import Struct

from mainspring.settings import Configuration

Network: TypeAlias = IPv4Network | IPv6Network

MOST_CONNECTIONS, MOST_ALONE = 1000, 10_000
"""Where other machines can reach the server, and on loopback, unless another number is set."""

MOST_WAITS = 100


class Rate(Struct, frozen=True):
    """So many requests at once, and as many again in every `period` (seconds)."""

    count: int
    period: float


RATE = Rate(1000, 1.0)
"""Where other machines can reach the server, unless another is set."""


class Tls(Struct, frozen=True, kw_only=True):
    """Files (PEM): the certificate and its key, and, if clients need certificates, too, whose."""

    cert: str
    key: str | None = None
    client_ca: str | None = None


class Terms(Struct, frozen=True, kw_only=True):
    """`hosts` are names by which the server is reached. With `keys` everybody needs one, False:
    nobody does, None: as soon as there is one. What `proxies` say of who asks is believed. `rate`
    holds for each key and each address, `waits` for what waits by one key, `connections` for all
    of them; each in one process. With `plain` other machines may come without TLS,
    with `synap` Synap's wire is spoken, too."""

    hosts: tuple[str, ...] = ()
    keys: bool | None = None
    proxies: tuple[Network, ...] = ()
    rate: Rate | None = None
    waits: int = MOST_WAITS
    connections: int = MOST_CONNECTIONS
    tls: Tls | None = None
    plain: bool = False
    synap: bool = False


def terms_of(settings: Configuration, address: str) -> Terms:
    """What the settings say of a server that listens there: other machines always need keys."""
    alone = is_loopback(address)
    rate = RATE if not alone else None
    if settings.rate is not None:
        count, period = settings.rate
        rate = Rate(count, period) if count else None
    tls = None
    if settings.tls_cert is not None:
        tls = Tls(cert=settings.tls_cert, key=settings.tls_key, client_ca=settings.tls_client_ca)
    return Terms(
        hosts=settings.hosts,
        keys=False if settings.insecure_no_auth else None if alone else True,
        proxies=tuple(map(ip_network, settings.behind_proxy)),
        rate=rate,
        waits=settings.waits or MOST_WAITS,
        connections=settings.connections or (MOST_ALONE if alone else MOST_CONNECTIONS),
        tls=tls,
        plain=settings.insecure_no_tls,
        synap=settings.synap,
    )


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach that address."""
    return ip_address(address.partition("%")[0]).is_loopback
