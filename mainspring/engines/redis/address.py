"""A Redis URL, taken apart."""

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from mainspring.errors import ConfigError
from mainspring.urls import refuse_bare_password, without_password

FORM = (
    "redis://host:6379/0, rediss://… (TLS), redis+sentinel://host:26379,host2:26379/service/0"
    " or redis+cluster://host:6379,host2:6379"
)
SENTINEL_PORT, PORT = 26379, 6379
PREFIX = "mainspring"
MOST_REPLICAS = 100

_TLS_OPTIONS = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs"})
_PREFIX = re.compile(r"[^{}\s]{1,100}")


class Address(NamedTuple):
    """Where the server is, under which prefix the store lives, how many replicas must have
    acknowledged a write before it is answered."""

    kind: str
    """standalone, sentinel or cluster."""
    hosts: tuple[tuple[str, int], ...]
    tls: bool = False
    username: str | None = None
    password: str | None = None
    database: int = 0
    service: str = ""
    prefix: str = PREFIX
    replicas: int = 0
    options: tuple[tuple[str, str], ...] = ()

    @property
    def place(self) -> str:
        """The place as errors name it, without the password."""
        hosts = ",".join(f"{host}:{port}" for host, port in self.hosts)
        return f"redis {hosts}/{self.service or self.database} ({self.prefix})"

    @property
    def tag(self) -> str:
        """What the key of every part of the store begins with: a hash tag, so that a cluster
        keeps them together."""
        return "{" + self.prefix + "}"


def address(url: str) -> Address:
    """The parts of `url`; `ConfigError` says what was expected."""
    refuse_bare_password(url, "@/?#")
    scheme, _, _ = url.partition("://")
    flavour, _, kind = scheme.partition("+")
    kind = kind or "standalone"
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _expected(url, "brackets around an IPv6 address alone") from None
    credentials, _, hosts = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    path = [unquote(piece) for piece in parts.path.split("/") if piece]
    service = ""
    if kind == "sentinel":
        if not path:
            raise _expected(url, "the name of the service behind the hosts")
        service = path.pop(0)
    if len(path) > 1 or (path and not path[0].isdecimal()):
        raise _expected(url, f"the number of a database, got {'/'.join(path)!r}")
    if kind == "cluster" and path and int(path[0]):
        raise _expected(url, "database 0, the only one of a cluster")
    found = Address(
        kind,
        _hosts(url, hosts, SENTINEL_PORT if kind == "sentinel" else PORT),
        tls=flavour.endswith("s") and flavour != "redis",
        username=unquote(username) or None,
        password=unquote(password) or None,
        database=int(path[0]) if path else 0,
        service=service,
    )
    return _with_options(url, found, parts.query)


def _hosts(url: str, text: str, port: int) -> tuple[tuple[str, int], ...]:
    found = []
    for each in text.split(","):
        try:
            host = urlsplit(f"//{each}")
            found.append((host.hostname or "localhost", host.port or port))
        except ValueError:
            raise _expected(url, f"host:port, got {each!r}") from None
    return tuple(found)


def _with_options(url: str, found: Address, query: str) -> Address:
    options = []
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name == "prefix":
            if not _PREFIX.fullmatch(value):
                raise _expected(url, f"a prefix without braces and blanks, got {value!r}")
            found = found._replace(prefix=value)
        elif name == "durability":
            found = found._replace(replicas=_replicas(url, value))
        elif name in _TLS_OPTIONS and found.tls:
            options.append((name, value))
        else:
            raise _expected(url, f"the options prefix, durability and ssl_…, got {name!r}")
    if found.replicas and found.kind == "cluster":
        raise _expected(url, "no durability=wait:N, which clusters do not offer")
    return found._replace(options=tuple(options))


def _replicas(url: str, value: str) -> int:
    word, _, number = value.partition(":")
    if word == "server":
        return 0
    if word != "wait" or not number.isdecimal() or not 1 <= int(number) <= MOST_REPLICAS:
        raise _expected(url, f"durability=wait:N (N from 1) or durability=server, got {value!r}")
    return int(number)


def _expected(url: str, what: str) -> ConfigError:
    shown = without_password(url)
    return ConfigError(f"Redis URL such as {FORM}: expected {what}, in {shown!r}")
