"""Framing: refuses heads that two servers, such as a proxy and this one, could read differently.

Whoever makes one server see one request where the next sees two gets the second past whatever the
first one checks. The parser has refused most of it before; what it forgives is refused here.
"""

from collections.abc import Sequence

from mainspring.server.forms.problems import Problem

SINGLE = (b"host", b"authorization", b"content-type", b"idempotency-key")
"""Headers that change what a request means, of which one server takes the first, another the
last."""

Headers = Sequence[tuple[bytes, bytes]]


def refuse_ambiguous(version: str, target: bytes, headers: Headers) -> None:
    """A `Problem` with what can be read in two ways in this version, target and names in small
    letters."""
    if version not in ("1.1", "1.0"):
        raise refused(f"HTTP/1.1 or HTTP/1.0, got {version}")
    given = dict(headers)
    if len(given) < len(headers):
        _refuse_repeated([name for name, _ in headers])
    if b"transfer-encoding" in given:
        _refuse_coding(version, headers)
    if b"host" not in given and version == "1.1":
        raise refused("a Host")
    if not target.startswith(b"/") or b"#" in target:
        _refuse_target(target, headers)


def refused(expected: str) -> Problem:
    """What such a request is answered with."""
    return Problem(400, "bad-request", f"expected {expected}")


def _refuse_repeated(names: Sequence[bytes]) -> None:
    for name in SINGLE:
        if names.count(name) > 1:
            raise refused(f"one {name.decode().title()}, got {names.count(name)}")


def _refuse_coding(version: str, headers: Headers) -> None:
    codings = [value for name, value in headers if name == b"transfer-encoding"]
    if version == "1.0" or [each.lower() for each in codings] != [b"chunked"]:
        got = b", ".join(codings).decode("latin-1")
        raise refused(f"Transfer-Encoding: chunked, in HTTP/1.1, got {got!a} in {version}")


def _refuse_target(target: bytes, headers: Headers) -> None:
    """Whole addresses are for proxies, but everybody must take them; they may name nobody else."""
    scheme, _, rest = target.partition(b"://")
    name = rest.partition(b"/")[0].lower()
    hosts = [value.lower() for key, value in headers if key == b"host"]
    if b"#" in target or scheme not in (b"http", b"https") or hosts != [name]:
        raise refused(f"a path, or the address of the Host, got {target.decode('latin-1')!a}")
