"""Settings as they were given: arguments, then MAINSPRING_* variables, then a TOML file.

The same word everywhere: `--lease`, `MAINSPRING_LEASE`, `lease`. The file is `mainspring.toml`, or
`[tool.mainspring]` in `pyproject.toml`, in the current directory. Knows no store and no app.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mainspring.durations import Duration, microseconds
from mainspring.errors import ConfigError, InvalidArguments
from mainspring.sizes import MB, TB, Size, in_bytes

PREFIX = "MAINSPRING_"
FILE, TABLE_FILE = "mainspring.toml", "pyproject.toml"


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """Every setting, checked. None means: as the worker or the app has it.

    `queues` empty means all; `concurrency` is how many threads and how many coroutines a process
    runs at once, `threads` and `tasks` say each apart. `rate` is requests in so many seconds, 0
    any number of them. `origins` tells where a value came from:
    "--url", "MAINSPRING_URL" or "url in mainspring.toml".
    """

    url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    app: str | None = None
    queues: tuple[str, ...] = ()
    processes: int | None = None
    max_processes: int | None = None
    process_slots: int | None = None
    max_jobs: int | None = None
    max_age: Duration | None = None
    max_memory: Size | None = None
    pools: tuple[str, ...] = ()
    concurrency: int | None = None
    threads: int | None = None
    tasks: int | None = None
    lease: Duration | None = None
    grace: Duration | None = None
    health: str | None = None
    host: str | None = None
    port: int | None = None
    server_processes: int | None = None
    hosts: tuple[str, ...] = ()
    tls_cert: str | None = None
    tls_key: str | None = None
    tls_client_ca: str | None = None
    behind_proxy: tuple[str, ...] = ()
    insecure_no_auth: bool = False
    insecure_no_tls: bool = False
    rate: tuple[int, float] | None = None
    waits: int | None = None
    connections: int | None = None
    access_log: bool = False
    synap: bool = False
    origins: Mapping[str, str] = field(default_factory=dict)


def load(
    arguments: Mapping[str, Any],
    environment: Mapping[str, str] = os.environ,
    directory: Path | None = None,
) -> Configuration:
    """The settings, the strongest source first.

    An argument of None was not given. `InvalidArguments` for an argument that does not fit,
    `ConfigError` for a variable or a file.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for name, value, origin in _given(arguments, environment, directory or Path.cwd()):
        if name in values:
            continue
        try:
            values[name] = _READERS[name](value, environment)
        except InvalidArguments as error:
            mistake = InvalidArguments if origin.startswith("--") else ConfigError
            raise mistake(f"{origin}: {error}") from None
        origins[name] = origin
    return Configuration(**values, origins=origins)


def _given(
    arguments: Mapping[str, Any], environment: Mapping[str, str], directory: Path
) -> Iterator[tuple[str, Any, str]]:
    for name, value in arguments.items():
        if value is not None:
            yield name, value, f"--{name.replace('_', '-')}"
    for name in _READERS:
        variable = PREFIX + name.upper()
        if environment.get(variable):
            yield name, environment[variable], variable
    file, table = _file(directory)
    for name, value in table.items():
        if name not in _READERS:
            raise ConfigError(f"{file}: expected one of {', '.join(_READERS)}, got {name!r}")
        yield name, value, f"{name} in {file}"


def _file(directory: Path) -> tuple[str, Mapping[str, Any]]:
    if table := _toml(directory / FILE):
        return FILE, table
    tool = _toml(directory / TABLE_FILE).get("tool")
    table = tool.get("mainspring", {}) if isinstance(tool, dict) else {}
    if not isinstance(table, dict):
        raise ConfigError(f"{TABLE_FILE}: expected a table [tool.mainspring], got {table!r}")
    return f"{TABLE_FILE} [tool.mainspring]", table


def _toml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8")
        import tomllib

        return tomllib.loads(text)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path.name}: expected a readable TOML file: {error}") from None


def _text(value: object, _: Mapping[str, str]) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InvalidArguments(f"expected text, got {value!r}")
    return value


def _url(value: object, environment: Mapping[str, str]) -> str:
    url = _text(value, environment)
    if url.startswith("env:"):
        variable = url.removeprefix("env:")
        if not environment.get(variable):
            raise InvalidArguments(f"expected a URL in the variable {variable!r}, which is not set")
        url = environment[variable]
    if "\0" in url or "%00" in url:
        raise InvalidArguments(f"expected a path without NUL, got {url!r}")
    return url


def _api_key(value: object, environment: Mapping[str, str]) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InvalidArguments("expected text, got something else")  # not shown: it may be a key
    key = value.strip()
    if not key.startswith("env:"):
        return key
    variable = key.removeprefix("env:")
    if not environment.get(variable):
        raise InvalidArguments(f"expected a key in the variable {variable!r}, which is not set")
    return environment[variable].strip()


def _app(value: object, environment: Mapping[str, str]) -> str:
    text = _text(value, environment)
    if not re.fullmatch(r"[^:]+:[\w.]+", text):
        raise InvalidArguments(f'expected "module:object", such as "shop.jobs:app", got {text!r}')
    return text


def _names(what: str, example: str) -> Callable[[object, Mapping[str, str]], tuple[str, ...]]:
    def read(value: object, _: Mapping[str, str]) -> tuple[str, ...]:
        given = value.split(",") if isinstance(value, str) else value
        if not isinstance(given, list | tuple) or not all(isinstance(name, str) for name in given):
            raise InvalidArguments(f'expected names of {what}, such as "{example}", got {value!r}')
        names = tuple(dict.fromkeys(name.strip() for name in given))
        if not all(names):
            raise InvalidArguments(f"expected names of {what}, got an empty one in {value!r}")
        return names

    return read


def _hosts(value: object, environment: Mapping[str, str]) -> tuple[str, ...]:
    given = _names("hosts", "queue.example.org")(value, environment)
    for each in given:
        if "/" in each or each.count(":") == 1:
            raise InvalidArguments(
                f"expected names without scheme and port, such as queue.example.org, got {each!r}"
            )
    return given


def _networks(value: object, environment: Mapping[str, str]) -> tuple[str, ...]:
    given = _names("proxies", "10.0.0.7,192.168.1.0/24")(value, environment)
    from ipaddress import ip_network

    for each in given:
        try:
            ip_network(each)
        except ValueError as error:
            raise InvalidArguments(
                f"expected addresses or networks, got {each!r}: {error}"
            ) from None
    return given


def _flag(value: object, _: Mapping[str, str]) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and (word := value.strip().lower()) in ("true", "1", "false", "0"):
        return word in ("true", "1")
    raise InvalidArguments(f"expected true or false, got {value!r}")


def _rate(value: object, _: Mapping[str, str]) -> tuple[int, float]:
    if value == "none":
        return 0, 1.0
    found = re.fullmatch(r"([1-9][0-9]{0,8})/([smh])", value) if isinstance(value, str) else None
    if found is None:
        raise InvalidArguments(f'expected requests in a time, such as "100/s", got {value!r}')
    return int(found[1]), {"s": 1.0, "m": 60.0, "h": 3600.0}[found[2]]


def _whole(most: int, least: int = 1) -> Callable[[object, Mapping[str, str]], int]:
    def read(value: object, _: Mapping[str, str]) -> int:
        number = int(value) if isinstance(value, str) and value.strip().isdecimal() else value
        if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= most:
            raise InvalidArguments(
                f"expected a whole number from {least} to {most:,}, got {value!r}"
            )
        return number

    return read


def _processes(value: object, environment: Mapping[str, str]) -> int:
    return cores() if value == "auto" else _whole(256)(value, environment)


def _size(value: Any, _: Mapping[str, str]) -> Size:
    in_bytes(value, "memory", 16 * MB, TB)
    checked: Size = value
    return checked


def _pools(value: object, _: Mapping[str, str]) -> tuple[str, ...]:
    pools = tuple(value.split()) if isinstance(value, str) else value
    if not isinstance(pools, list | tuple) or not all(isinstance(each, str) for each in pools):
        raise InvalidArguments(f'expected pools, such as ["mail=2:8", "*=4"], got {value!r}')
    return tuple(pools)


def cores() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _duration(value: Any, _: Mapping[str, str]) -> Duration:
    microseconds(value)
    checked: Duration = value
    return checked


_READERS: dict[str, Callable[[Any, Mapping[str, str]], Any]] = {
    "url": _url,
    "api_key": _api_key,
    "app": _app,
    "queues": _names("queues", "mail,images"),
    "processes": _processes,
    "max_processes": _processes,
    "process_slots": _processes,
    "max_jobs": _whole(10**12),
    "max_age": _duration,
    "max_memory": _size,
    "pools": _pools,
    "concurrency": _whole(10_000),
    "threads": _whole(10_000),
    "tasks": _whole(100_000),
    "lease": _duration,
    "grace": _duration,
    "health": lambda value, environment: _text(
        str(value) if type(value) is int else value, environment
    ),
    "host": _text,
    "port": _whole(65_535, least=0),
    "server_processes": _processes,
    "hosts": _hosts,
    "tls_cert": _text,
    "tls_key": _text,
    "tls_client_ca": _text,
    "behind_proxy": _networks,
    "insecure_no_auth": _flag,
    "insecure_no_tls": _flag,
    "rate": _rate,
    "waits": _whole(1_000_000),
    "connections": _whole(1_000_000),
    "access_log": _flag,
    "synap": _flag,
}
