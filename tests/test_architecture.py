"""Who may know whom, how long things may get, and what an import may load.

Imports are read from the source, so those inside functions and under TYPE_CHECKING count too.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "mainspring"

LONGEST_FILE = 450
LONGEST_FUNCTION = 60
LONG_BY_EXCEPTION: dict[str, str] = {}
"""`module` or `module:function`, and why it may be longer."""

GLOBALS_BY_EXCEPTION = {
    ("mainspring.ids", "_last"): "ids ascend within a process, whoever asks",
}

VALUES = {
    f"mainspring.{name}"
    for name in (
        "errors",
        "durations",
        "sizes",
        "retry",
        "job",
        "lifecycle",
        "events",
        "store",
        "signals",
        "presence",
        "codec",
        "dossier",
        "cells",
        "posts",
        "sharded",
        "urls",
        "verbs",
        "trouble",
    )
}
WORLD = {
    *("asyncio", "concurrent", "contextvars", "ctypes", "fcntl", "glob", "http", "io", "logging"),
    *("mmap", "multiprocessing", "os", "pathlib", "queue", "random", "sched", "secrets", "select"),
    *("selectors", "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess", "sys"),
    *("tempfile", "threading", "time", "urllib"),
}
"""Standard modules by which one touches files, clocks, threads, chance or other processes."""

WORLDLY_BY_EXCEPTION = {
    ("mainspring.events", "logging"): "a listener's error is logged, since it may break nothing",
}

CLOCKS = {"now", "utcnow", "today"}

WORKER = "mainspring.worker"

KNOWN: dict[str, dict[str, set[str]]] = {
    "worker": {
        "link": set(),
        "child": {"link"},
        "crew": {"link"},
        "programs": {"crew", "link"},
        "books": {"crew"},
        "control": {"books", "crew", "link"},
        "probes": {"control"},
    },
    "server": {
        "terms": set(),
        "forms": set(),
        "permissions": {"forms"},
        "backend": {"forms", "permissions", "terms"},
        "entry": {"backend", "forms", "permissions", "terms"},
        "routes": {"backend", "entry", "forms", "permissions"},
        "synap": {"backend", "entry", "forms", "permissions", "routes"},
        "connection": {"entry", "forms", "terms"},
    },
}
"""The packages of the worker and of the server, and which of the others each one knows. The modules
beside them put them together: no package knows those, but for the terms, which know nothing."""

CHILD_SIDE = {f"{WORKER}.child", f"{WORKER}.link"}
"""What a child of a worker is made of. It runs the jobs; what they become is decided here and
written by the parent."""

SHARED_BY_ENGINES = "mainspring.engines.common"

USER_FACING = {
    f"mainspring.{name}"
    for name in (
        *("app", "task", "registry", "forms", "arguments", "options", "upgrades"),
        *("handle", "results", "operations", "fleet", "pull", "message", "leases"),
        *("intake", "workflow", "kv", "keys", "audit", "served", "topics", "relay"),
        *("patterns", "opened"),
    )
}
EDGE = {f"mainspring.{name}" for name in ("cli", "server", "testing", "contrib", "demo")}
"""What is built upon everything else: nothing but itself and the entry point may know it."""


@cache
def modules() -> dict[str, ast.Module]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(), str(path))
    return found


def source_of(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def imports(module: str) -> set[str]:
    """Everything the module imports, as deep as it can be named."""
    names: set[str] = set()
    for node in ast.walk(modules()[module]):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: imports are absolute"
            base = node.module or ""
            for alias in node.names:
                deeper = f"{base}.{alias.name}"
                names.add(deeper if deeper in modules() else base)
    return names


def within(name: str, packages: set[str]) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in packages)


def reached(module: str) -> set[str]:
    """The modules of the package that importing this one leads to, itself left out."""
    found: set[str] = set()
    todo = [module]
    while todo:
        for name in imports(todo.pop()) & modules().keys() - found - {"mainspring"}:
            found.add(name)
            todo.append(name)
    return found - {module}


def offences(pairs: Iterator[tuple[str, str]]) -> list[str]:
    return sorted(f"{module} imports {name}" for module, name in pairs)


def edges() -> Iterator[tuple[str, str]]:
    for module in modules():
        for name in imports(module):
            yield module, name


# --- who may know whom ---------------------------------------------------------------------------


def test_values_do_no_io_and_start_no_thread_and_know_no_clock() -> None:
    assert not offences(
        (module, name)
        for module, name in edges()
        if module in VALUES
        and name.split(".")[0] in WORLD
        and (module, name) not in WORLDLY_BY_EXCEPTION
    )
    for module in VALUES & modules().keys():
        for node in ast.walk(modules()[module]):
            if isinstance(node, ast.Attribute):
                assert node.attr not in CLOCKS, f"{module}:{node.lineno} asks a clock"


def test_values_know_only_values() -> None:
    assert not offences(
        (module, name)
        for module, name in edges()
        if module in VALUES and within(name, {"mainspring"}) and name not in VALUES
    )


def test_nobody_imports_an_engine_but_open_store_by_its_name_in_a_string() -> None:
    engines = {name for name in modules() if name.startswith("mainspring.engines.")}
    assert not offences(
        (module, name)
        for module, name in edges()
        if name in engines
        and not within(module, {".".join(name.split(".")[:3])})
        and not (within(name, {SHARED_BY_ENGINES}) and within(module, {"mainspring.engines"}))
    )


def test_only_the_sqlite_engine_imports_sqlite3() -> None:
    assert not offences(
        (module, name)
        for module, name in edges()
        if name.split(".")[0] == "sqlite3" and not within(module, {"mainspring.engines.sqlite"})
    )


def test_only_the_redis_engine_imports_redis() -> None:
    assert not offences(
        (module, name)
        for module, name in edges()
        if name.split(".")[0] == "redis" and not within(module, {"mainspring.engines.redis"})
    )


def test_only_the_lines_of_the_client_import_httpx2() -> None:
    assert not offences(
        (module, name)
        for module, name in edges()
        if name.split(".")[0] == "httpx2" and module != "mainspring.client.lines"
    )


def test_only_the_postgres_engine_imports_psycopg() -> None:
    assert not offences(
        (module, name)
        for module, name in edges()
        if name.split(".")[0] == "psycopg" and not within(module, {"mainspring.engines.postgres"})
    )


def test_an_engine_knows_values_and_the_contract_and_nothing_above() -> None:
    allowed = VALUES | {"mainspring.ids", "mainspring.settings", "mainspring.transactions"}
    assert not offences(
        (module, name)
        for module, name in edges()
        if within(module, {"mainspring.engines"})
        and within(name, {"mainspring"})
        and not within(name, {"mainspring.engines"})
        and name not in allowed
    )


def test_the_worker_leads_to_no_task_and_no_app() -> None:
    assert not offences(
        (module, name)
        for module in modules()
        if within(module, {WORKER})
        for name in reached(module)
        if within(name, USER_FACING)
    )


@pytest.mark.parametrize("part", KNOWN)
def test_a_package_knows_those_it_is_built_upon_and_no_other(part: str) -> None:
    known = KNOWN[part]
    found: dict[str, set[str]] = {name: set() for name in known} | {
        path.parent.name: set() for path in (PACKAGE / part).glob("*/__init__.py")
    }
    for module, name in edges():
        if within(module, {f"mainspring.{part}"}) and within(name, {f"mainspring.{part}"}):
            mine, other = (f"{each}.".split(".")[2] for each in (module, name))
            if mine in found and mine != other:
                found[mine].add(other)
    assert found == known


@pytest.mark.parametrize("part", KNOWN)
def test_no_two_packages_know_each_other(part: str) -> None:
    TopologicalSorter(KNOWN[part]).prepare()  # raises CycleError


def test_the_child_of_a_worker_leads_to_no_engine() -> None:
    assert not offences(
        (module, name)
        for module in modules()
        if within(module, CHILD_SIDE)
        for name in reached(module)
        if name.startswith("mainspring.engines.")
    )


def test_the_child_of_a_worker_neither_claims_nor_settles() -> None:
    for module, tree in modules().items():
        if within(module, CHILD_SIDE):
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    verb = node.func.attr
                    assert verb not in {"exchange", "claim", "reclaim", "heartbeat"}, (
                        f"{module}:{node.lineno} calls {verb}"
                    )


def test_nothing_knows_the_edge_of_the_library_but_itself() -> None:
    entry_points = {"mainspring.__main__"}
    assert not offences(
        (module, name)
        for module, name in edges()
        if within(name, EDGE)
        and not within(module, {".".join(name.split(".")[:2])})
        and not within(module, {"mainspring.cli"})
        and module not in entry_points
    )


def test_no_two_modules_know_each_other() -> None:
    for module in modules():
        for name in reached(module):
            assert module not in reached(name), f"{module} and {name} import each other in a circle"


SECRETS = {"secret", "digest", "password"}


def test_secrets_are_compared_in_constant_time() -> None:
    for module, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
                for side in (node.left, *node.comparators):
                    name = getattr(side, "id", getattr(side, "attr", None))
                    assert name not in SECRETS, f"{module}:{node.lineno} compares a secret by =="


# --- how long and how lasting --------------------------------------------------------------------


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the function without its docstring."""
    lines = (node.end_lineno or 0) - node.lineno + 1
    if ast.get_docstring(node) is not None:
        text = node.body[0]
        lines -= (text.end_lineno or 0) - text.lineno + 1
    return lines


def test_no_file_is_longer_than_one_can_read_at_a_sitting() -> None:
    for module in modules().keys() - LONG_BY_EXCEPTION.keys():
        lines = len(source_of(module).read_text().splitlines())
        assert lines <= LONGEST_FILE, f"{module} has {lines} lines"


def test_no_function_is_longer_than_a_screen() -> None:
    for module, tree in modules().items():
        for node in functions(tree):
            if f"{module}:{node.name}" not in LONG_BY_EXCEPTION:
                lines = length(node)
                assert lines <= LONGEST_FUNCTION, f"{module}:{node.name} has {lines} lines"


def test_every_exception_to_the_lengths_is_still_needed() -> None:
    too_long = {
        f"{module}:{node.name}"
        for module, tree in modules().items()
        for node in functions(tree)
        if length(node) > LONGEST_FUNCTION
    } | {
        module
        for module in modules()
        if len(source_of(module).read_text().splitlines()) > LONGEST_FILE
    }
    assert LONG_BY_EXCEPTION.keys() <= too_long


MUTATORS = {
    *("add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem"),
    *("popleft", "remove", "setdefault", "update"),
}


def module_level_names(tree: ast.Module) -> set[str]:
    names = set()
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def changed_names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Names that the code of functions rebinds by `global`, or whose content it changes."""
    for function in functions(tree):
        local = {argument.arg for argument in ast.walk(function) if isinstance(argument, ast.arg)}
        for node in ast.walk(function):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                local.add(node.id)
        for node in ast.walk(function):
            if isinstance(node, ast.Global):
                yield from ((name, node.lineno) for name in node.names)
            target: ast.expr | None = None
            if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
                target = node.value
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                target = node.func.value if node.func.attr in MUTATORS else None
            if isinstance(target, ast.Name) and target.id not in local:
                yield target.id, node.lineno


def test_no_module_keeps_something_that_changes() -> None:
    for module, tree in modules().items():
        lasting = module_level_names(tree)
        for name, line in changed_names(tree):
            if (module, name) not in GLOBALS_BY_EXCEPTION:
                assert name not in lasting, f"{module}:{line} changes the module's {name}"


# --- what an import loads ------------------------------------------------------------------------

LOADED = """
import sys
import msgspec
before = set(sys.modules)
import mainspring
print(*sorted(set(sys.modules) - before))
"""


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """The modules that `import mainspring` loads in a fresh process beside what msgspec does."""
    run = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(run.stdout.split())


def test_importing_the_library_loads_neither_worker_nor_engine_nor_command_line(
    loaded: set[str],
) -> None:
    late = EDGE | {WORKER, "mainspring.engines.sqlite", "mainspring.client"}
    assert sorted(name for name in loaded if within(name, late)) == []


def test_importing_the_library_loads_no_other_library_than_msgspec(loaded: set[str]) -> None:
    packages = {name.split(".")[0] for name in loaded}
    assert packages - sys.stdlib_module_names == {"mainspring"}


def test_importing_the_library_loads_no_server_and_no_database(loaded: set[str]) -> None:
    heavy = {"sqlite3", "http.server", "socketserver", "multiprocessing", "unittest"}
    assert sorted(name for name in loaded if within(name, heavy)) == []
