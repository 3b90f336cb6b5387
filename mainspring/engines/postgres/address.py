"""A PostgreSQL URL, taken apart: what is ours, and what libpq is told."""

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict

from mainspring.errors import ConfigError
from mainspring.urls import refuse_bare_password

DEFAULT_SCHEMA = "mainspring"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_PREFIX = re.compile(r"([a-z_][a-z0-9_]{0,30}_)?")


class Address(NamedTuple):
    """How the database is reached (`listen`: by what direct way notifications come, if by
    another), which schema of it holds the jobs, and what the names of all tables begin with."""

    conninfo: str
    schema: str
    prefix: str
    listen: str
    place: str
    """The place as errors name it, without a password."""

    @property
    def listens_by_chance(self) -> bool:
        """Whether nobody said that notifications come this way."""
        return self.listen == self.conninfo

    @property
    def tables(self) -> str:
        """What stands before the name of a table or function in a statement."""
        return f'"{self.schema}".{self.prefix}'


def address(url: str) -> Address:
    """The parts of `url`; `ConfigError` says what was expected. Options of ours are `schema`,
    `prefix` and `listen` (a second URL, past a pooler; `off`: notifications are not listened for);
    all others are libpq's."""
    refuse_bare_password(url)
    base, _, query = url.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    schema = options.pop("schema", DEFAULT_SCHEMA)
    prefix = options.pop("prefix", "")
    listen = options.pop("listen", "")
    if not _NAME.fullmatch(schema):
        raise ConfigError(
            f"PostgreSQL URL: schema is a plain name (letters, digits, _), got {schema!r}"
        )
    if not _PREFIX.fullmatch(prefix):
        raise ConfigError(
            "PostgreSQL URL: prefix is a plain name in small letters that ends with _ (at most 32"
            f" letters, digits, _), got {prefix!r}"
        )
    conninfo = f"{base}?{urlencode(options)}" if options else base
    parts = _parts(conninfo)
    if listen not in ("", "off"):
        refuse_bare_password(listen)
        _parts(listen)
    host = parts.get("host") or parts.get("hostaddr") or "the local server"
    port = f":{parts['port']}" if "port" in parts else ""
    database = parts.get("dbname") or parts.get("user") or "the default database"
    return Address(conninfo, schema, prefix, listen or conninfo, f"{database} at {host}{port}")


def _parts(conninfo: str) -> dict[str, object]:
    try:
        return dict(conninfo_to_dict(conninfo))
    except psycopg.Error as error:
        # libpq quotes what it does not understand: it may be a password with a % in it.
        said = re.sub(r'token: ".*"', "token; percent-encode the password", str(error).strip())
        raise ConfigError(
            "PostgreSQL URL: expected postgresql://user:password@host:port/database"
            f"?schema=mainspring, got one that libpq does not understand ({said})"
        ) from None
