"""Command: the program that handles jobs: what it is told of one, and what its end means."""

import signal
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from mainspring import codec
from mainspring.durations import MINUTE, SECOND, microseconds
from mainspring.errors import InvalidArguments
from mainspring.job import Claimed, Failed, Outcome, Reason, Snoozed, Succeeded, decode_policy
from mainspring.worker.crew.verdict import attempt_error

PERMANENT, TRY_LATER = 65, 75
"""Exit codes that say more than that it failed: EX_DATAERR and EX_TEMPFAIL of sysexits.h."""

LATER = MINUTE
"""Microseconds that "try later" means when the program does not say how much."""

LONGEST_TAIL = 16_000
LONGEST_LINE = 500
"""Bytes kept of what a failed program wrote to stderr, and characters of the line of it that is its
error."""


class Command(NamedTuple):
    """A program with its arguments. It takes jobs of `tasks` (None: of all), each for `timeout`
    (microseconds; None: as long as it takes) if the job itself names no limit. `environment` is
    what it finds there beside the facts of its job; `largest_result` is in bytes."""

    words: tuple[str, ...]
    tasks: tuple[str, ...] | None
    timeout: int | None
    environment: Mapping[str, str]
    largest_result: int

    def limit(self, job: Claimed) -> int | None:
        """How long it may take for this job, in microseconds."""
        return decode_policy(job.policy).timeout or self.timeout

    def facts(self, job: Claimed, worker: str) -> dict[str, str]:
        """The environment in which it handles this job."""
        limit = self.limit(job)
        facts = {
            "JOB_ID": str(job.uuid),
            "JOB_NUMBER": str(job.number),
            "TASK": job.task,
            "VERSION": str(job.version),
            "QUEUE": job.queue,
            "ATTEMPT": str(job.attempt),
            "LAST_ATTEMPT": "1" if job.last_attempt else "0",
            "CLAIMS": str(job.claims),
            "HEADERS": msgspec.json.encode(codec.decode_headers(job.headers)).decode(),
            "PAYLOAD": "bytes" if job.payload[:1] == codec.RAW else "json",
            "TIMEOUT": "" if limit is None else f"{limit / SECOND:g}",
            "WORKER": worker,
        }
        return {**self.environment, **{f"MAINSPRING_{name}": told for name, told in facts.items()}}

    def ended(self, job: Claimed, worker: str, status: int, out: bytes, err: bytes) -> Outcome:
        """What it means that the program ended so: its status as `Popen` tells it, what it wrote
        to stdout, and the end of what it wrote to stderr."""
        if status == TRY_LATER:
            return Snoozed(_later(out))
        if status:
            told = attempt_error(job, "ProgramFailed", _words(status, err), worker)
            tail = err[-LONGEST_TAIL:].decode(errors="backslashreplace")
            error = msgspec.structs.replace(told, traceback=tail)
            if status == PERMANENT:
                return Failed(error, permanent=True, reason=Reason.REJECTED)
            return Failed(error)
        try:
            what = f"result of {job.task}"
            return Succeeded(codec.encode_result(_result(out), what, self.largest_result))
        except InvalidArguments as error:  # running it again would not change that
            return Failed(attempt_error(job, type(error).__name__, str(error), worker), True)


def _result(out: bytes) -> object:
    """What was written: nothing, a JSON value, else text, else bytes."""
    if not out.strip():
        return None
    try:
        return msgspec.json.decode(out)
    except (ValueError, RecursionError):
        pass
    try:
        return out.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        return out


def _later(out: bytes) -> int:
    """The delay that stands on stdout, if one does."""
    try:
        return microseconds(out.decode().strip())
    except (UnicodeDecodeError, InvalidArguments):
        return LATER


def _words(status: int, err: bytes) -> str:
    """The end of a program in one line."""
    lines = err[-LONGEST_TAIL:].decode(errors="backslashreplace").strip().splitlines()
    last = f": {lines[-1].strip()[:LONGEST_LINE]}" if lines else ""
    if status > 0:
        return f"exit code {status}{last}"
    try:
        return f"ended by signal {-status} ({signal.Signals(-status).name}){last}"
    except ValueError:
        return f"ended by signal {-status}{last}"
