"""Redis URLs: what they say, and what is refused in words."""

import subprocess
import sys

import pytest

from mainspring.engines.redis.address import Address, address
from mainspring.errors import ConfigError

HERE = (("localhost", 6379),)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://", Address("standalone", HERE)),
        ("valkey://localhost", Address("standalone", HERE)),
        ("redis://h:7/3", Address("standalone", (("h", 7),), database=3)),
        ("rediss://h", Address("standalone", (("h", 6379),), tls=True)),
        ("valkeys://h", Address("standalone", (("h", 6379),), tls=True)),
        ("redis://[::1]:7", Address("standalone", (("::1", 7),))),
        (
            "redis://me:a%40b@h/1?prefix=mail",
            Address(
                "standalone",
                (("h", 6379),),
                username="me",
                password="a@b",
                database=1,
                prefix="mail",
            ),
        ),
        (
            "rediss://:p@h?ssl_ca_certs=/ca.pem&durability=wait:2",
            Address(
                "standalone",
                (("h", 6379),),
                tls=True,
                password="p",
                replicas=2,
                options=(("ssl_ca_certs", "/ca.pem"),),
            ),
        ),
        (
            "redis+sentinel://a,b:5/main/2",
            Address("sentinel", (("a", 26379), ("b", 5)), service="main", database=2),
        ),
        ("valkeys+cluster://a:1,b:2", Address("cluster", (("a", 1), ("b", 2)), tls=True)),
    ],
)
def test_a_url_says_where_and_how(url: str, expected: Address) -> None:
    assert address(url) == expected


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://h/mail", "number of a database"),
        ("redis://h:port", "host:port"),
        ("redis://h?prefix=a{b", "prefix"),
        ("redis://h?prefix=", "prefix"),
        ("redis://h?durability=wait:0", "wait:N"),
        ("redis://h?durability=full", "wait:N"),
        ("redis://h?ssl_ca_certs=x", "ssl_ca_certs"),
        ("redis+sentinel://h", "service"),
        ("redis+cluster://h/1", "database 0"),
        ("redis+cluster://h?durability=wait:1", "clusters"),
    ],
)
def test_a_url_that_says_something_else_is_refused_in_words(url: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        address(url)


def test_no_error_shows_a_password() -> None:
    with pytest.raises(ConfigError) as refusal:
        address("redis://me:secret@h/mail")
    assert "secret" not in str(refusal.value)
    assert "secret" not in address("redis://me:secret@h").place


def test_a_missing_library_is_named_with_the_extra_that_brings_it() -> None:
    program = (
        "import sys; sys.modules['redis'] = None\n"
        "from mainspring.engines import open_store\n"
        "open_store('redis://localhost')"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "ConfigError" in run.stderr
    assert "mainspring[redis]" in run.stderr
