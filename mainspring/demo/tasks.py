"""The tasks of the demonstration: look into one source file, report on all, and some odd ones."""

import hashlib
import os
import zlib
from pathlib import Path
from typing import Any

from msgspec import convert, to_builtins

from mainspring import Context, Mainspring, Retry, Tasks, current
from mainspring.demo.report import File, render
from mainspring.demo.scan import facts

QUEUE = "demo"

tasks = Tasks("demo")


@tasks.task(queue=QUEUE, retry=Retry(never_on=(SyntaxError, ValueError)))
def parse(root: str, file: str) -> dict[str, Any]:
    """Count what is in a source file; what is not Python fails for good."""
    return {"path": file, "facts": to_builtins(facts(Path(root, file).read_bytes(), file))}


@tasks.task(queue=QUEUE)
def compress(root: str, file: str) -> dict[str, Any]:
    """How many bytes compression saves."""
    source = Path(root, file).read_bytes()
    return {"path": file, "size": len(source), "saved": len(source) - len(zlib.compress(source))}


@tasks.task(queue=QUEUE)
def digest(root: str, file: str) -> dict[str, Any]:
    """The SHA-256 of the file's content."""
    return {"path": file, "digest": hashlib.sha256(Path(root, file).read_bytes()).hexdigest()}


@tasks.task(queue=QUEUE)
def report(root: str, to: str) -> str:
    """Write down what the jobs before this one found out."""
    text = render(root, _gathered(current()))
    # Whoever reads it sees the old report or the new one, whenever this process is killed.
    new = Path(f"{to}.{current().claims}")
    new.write_text(text, "utf-8")
    new.replace(to)
    return to


def _gathered(context: Context) -> list[File]:
    """One `File` for each path, put together from all results; failed jobs give their error."""
    found: dict[str, dict[str, Any]] = {}
    # An app of its own, which knows no tasks: the one that has these imports this module.
    with Mainspring(os.environ["MAINSPRING_URL"]) as app:
        for id, result in zip(context.parents, context.parent_results(), strict=True):
            if result is None:
                job = app.get(id)
                why = f"{job.error.type}: {job.error.message}" if job.error else str(job.state)
                result = {"path": job.payload["file"], "error": why}
            found.setdefault(result["path"], {}).update(result)
    return convert(list(found.values()), list[File])


@tasks.task(queue=QUEUE, retry=Retry(max_retries=5, base=0.2))
def unsteady() -> str:
    """Fails twice on purpose, as if another machine were away."""
    attempt = current().attempt
    if attempt <= 2:
        raise ConnectionError(f"attempt {attempt}: nobody answers")
    return f"succeeded at attempt {attempt}"


@tasks.task(queue=QUEUE)
def delayed() -> str:
    """Is enqueued with a delay."""
    return "ran after its delay"


@tasks.task(queue=QUEUE)
def urgent() -> str:
    """Is enqueued last and with the highest priority."""
    return "overtook the rest"


@tasks.task(queue=QUEUE)
def unwanted() -> str:
    """Is cancelled before its time comes."""
    return "ran, though it was cancelled"
