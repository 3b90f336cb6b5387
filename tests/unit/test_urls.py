"""No error and no display shows a password, even one that should have been percent-encoded."""

import pytest

from mainspring import Mainspring
from mainspring.engines import open_store
from mainspring.errors import ConfigError, MainspringError
from mainspring.urls import refuse_bare_password, without_password

SERVERS = ["postgresql", "redis", "rediss", "redis+sentinel", "valkey+cluster"]
PARTS = "hush", "secret"
"""What no text may hold, of any password below."""

BARE = ["hush@secret", "hush/secret#", "hush?secret", "hush secret", "hush/@secret"]
ODD = ["hush#secret", "hush%secret", "[hush", "hush:secret", "hush=1&secret"]


def assert_hidden(text: str) -> None:
    assert [part for part in PARTS if part in text] == []


@pytest.mark.parametrize("password", BARE + ODD)
@pytest.mark.parametrize("scheme", ["postgresql", "redis", "valkeys+cluster", "mysql", "sqlite"])
def test_no_refusal_shows_a_part_of_a_password(scheme: str, password: str) -> None:
    url = f"{scheme}://me:{password}@127.0.0.1:1/db"
    for opened in (url, f"shards://a={url}"):
        with pytest.raises(MainspringError) as refusal:
            Mainspring(opened).counts()
        assert_hidden(str(refusal.value))
    assert_hidden(without_password(url))


@pytest.mark.parametrize("password", BARE)
@pytest.mark.parametrize("scheme", SERVERS)
def test_a_password_that_splits_the_url_is_to_be_percent_encoded(
    scheme: str, password: str
) -> None:
    with pytest.raises(ConfigError, match="percent-encode the password"):
        open_store(f"{scheme}://me:{password}@127.0.0.1:1/db")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:a%40b%2F@db/jobs?options=-c%20x%3D1",
        "postgresql://me:a#b@db/jobs",
        "postgresql:///jobs?host=/run/a@b",
        "postgresql://pool/jobs?listen=postgresql://me:x@db/jobs",
        "redis://host?prefix=a@b",
    ],
)
def test_what_is_encoded_is_taken(url: str) -> None:
    refuse_bare_password(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgres://me:secret@db/jobs", "postgres://me:***@db/jobs"),
        (
            "postgresql://db/jobs?password=secret&schema=a",
            "postgresql://db/jobs?password=***&schema=a",
        ),
        (
            "postgresql://p/jobs?listen=postgresql%3A%2F%2Fme%3Asecret%40db",
            "postgresql://p/jobs?listen=***",
        ),
        (
            "postgresql://p/jobs?listen=postgresql://me:secret@db",
            "postgresql://p/jobs?listen=postgresql://me:***@db",
        ),
        (
            "shards://a=redis://:secret@one b=redis://me:hush@two",
            "shards://a=redis://:***@one b=redis://me:***@two",
        ),
    ],
)
def test_a_password_is_not_shown(url: str, shown: str) -> None:
    assert without_password(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////a:b@c.db",
        "sqlite://:memory:",
        "postgres://me@db:5432/jobs",
        "redis://db:6379/0?prefix=a@b",
        "postgresql://p/jobs?listen=off",
    ],
)
def test_what_holds_no_password_is_shown_as_it_is(url: str) -> None:
    assert without_password(url) == url
