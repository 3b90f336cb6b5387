"""Finding the source files of a tree, and looking into one of them."""

import ast
import os
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

LEFT_OUT = {"site-packages", "__pycache__", "node_modules"}

_BLOCKS = ("body", "orelse", "handlers", "finalbody", "cases")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class Facts(Struct, frozen=True):
    """What the parser sees in one file. `longest` is the longest function's name and lines."""

    lines: int
    functions: int
    classes: int
    longest: tuple[str, int] | None


def source_files(root: Path) -> list[str]:
    """Every Python file below `root`, relative to it, in order.

    Leaves out installed packages, hidden directories, links, and names that are not UTF-8.
    """
    found: list[str] = []
    for folder, inner, files in os.walk(root):
        inner[:] = [name for name in inner if name not in LEFT_OUT and not name.startswith(".")]
        for name in files:
            path = Path(folder, name)
            if name.endswith(".py") and path.is_file() and not path.is_symlink():
                found.append(path.relative_to(root).as_posix())
    return sorted(name for name in found if name.isprintable())


def facts(source: bytes, name: str) -> Facts:
    """Parse and count. SyntaxError (or its like), which tells the name, for what is not Python."""
    tree = ast.parse(source, name)
    functions = classes = 0
    longest: tuple[str, int] | None = None
    for statement in _statements(tree):
        if isinstance(statement, _FUNCTIONS):
            functions += 1
            length = (statement.end_lineno or statement.lineno) - statement.lineno + 1
            if longest is None or length > longest[1]:
                longest = (statement.name, length)
        classes += isinstance(statement, ast.ClassDef)
    return Facts(len(source.splitlines()), functions, classes, longest)


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    # Looking into expressions, too, as ast.walk does, takes three times as long and finds no def.
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        for name in _BLOCKS:
            block = getattr(node, name, None)
            if isinstance(block, list):
                waiting += block
                yield from block
