"""Every exception of mainspring, and what a task raises to steer its own job.

MainspringError
├── your mistake
│   ├── ConfigError           a setting, a URL or a file is not what it must be
│   │   ├── Unsupported       this engine cannot do that
│   │   └── KeyRefused        the server does not know the key, or it may not do this
│   ├── TaskError             the declaration of a task is wrong (raised at import)
│   ├── NotBound              a task was enqueued, but no one app is open for it
│   ├── InvalidArguments      arguments or a payload do not fit
│   │   ├── PayloadTooLarge
│   │   └── ResultTooLarge
│   ├── TransactionError      `tx=` or `transaction()` was used in a way that cannot be safe
│   │   ├── ForeignConnection the connection is none to this store
│   │   └── NotImmediate      the caller's SQLite transaction was not begun with IMMEDIATE
│   ├── UnknownTask           no task of that name is declared here
│   ├── UnknownJob            no job has that id
│   ├── UnknownWorker         no worker of that name, or on that host, was heard of lately
│   ├── UnknownAccessKey      no key to a server has that id
│   ├── InvalidState          the job's state does not allow this
│   └── SlowSubscriber        a subscription was ended that did not take what came
├── the store's answer
│   ├── IdConflict            the id exists with other content
│   ├── UniqueTaken           a unique key is held by another job
│   ├── QueueFull             more would wait in a queue than may
│   ├── UnknownDependency     a job waits for an id that does not exist
│   ├── VersionConflict       an entry is not at the version that was expected
│   ├── NotInteger            an entry that was to be added to is no integer of 64 bits
│   └── LeaseLost             the job is no longer held under this grant
├── the store's trouble
│   ├── StoreUnavailable      cannot be reached or cannot write now; may be tried again
│   │   ├── StoreFull         no space left: intake and claims stop, nothing is lost
│   │   ├── StoreGone         its file was removed or replaced; must be opened anew
│   │   ├── PartlyUnavailable of several stores that are one, some do not answer
│   │   └── UniqueBusy        a unique key is being taken in a transaction that has not ended
│   ├── SchemaError           the file or database is not one of ours, or from another version
│   └── StoreDamaged          the store contradicts itself
└── the job's fate, as its waiter sees it
    ├── JobFailed
    ├── JobCancelled
    └── ResultTimeout         (also a TimeoutError)

Interrupted                   not an error: raised in a function that runs in a process of its own,
                              wherever it is, because it has to end

Steering                      not errors: `raise Snooze(30)` inside a task
├── Snooze                    run me again later; costs no attempt
├── RetryAfter                this attempt failed; try again after exactly this long
├── RateLimited               the other side asked for a pause; costs no attempt
├── Cancel                    end as cancelled
└── Reject                    end as failed at once, whatever attempts are left
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any


class MainspringError(Exception):
    """The base of every error mainspring raises."""


class ConfigError(MainspringError, ValueError):
    """A setting, a URL or a file is not what it must be."""


class Unsupported(ConfigError):
    """This engine cannot do that."""


class KeyRefused(ConfigError):
    """The server does not know the API key, or whoever has it may not do this."""


class TaskError(MainspringError, TypeError):
    """The declaration of a task is wrong. Raised where the task is declared."""


class NotBound(MainspringError):
    """A task was enqueued, but no app, or more than one, is open for its registry."""


class InvalidArguments(MainspringError, ValueError):
    """Arguments, a payload or an option do not fit; nothing was stored.

    `permanent` says that it will be so another time, too, as with a stored payload.
    """

    permanent = False


class PayloadTooLarge(InvalidArguments):
    """The payload is over the size limit; nothing was stored."""


class ResultTooLarge(InvalidArguments):
    """The result is over the size limit; it was not stored. To run again would not change that."""

    permanent = True


class TransactionError(MainspringError):
    """A transaction was used in a way that cannot be safe."""


class ForeignConnection(TransactionError):
    """The connection given is none to this store: of another kind, or to another place."""


class NotImmediate(TransactionError):
    """The caller's SQLite transaction was not begun with `BEGIN IMMEDIATE`."""


class UnknownTask(MainspringError, LookupError):
    """No task of that name is declared here."""


class UnknownJob(MainspringError, LookupError):
    """No job has that id."""


class UnknownWorker(MainspringError, LookupError):
    """No worker of that name, or on that host, was heard of lately; nobody was told."""


class UnknownAccessKey(MainspringError, LookupError):
    """No key to a server has that id."""


class InvalidState(MainspringError):
    """The job's state does not allow what was asked."""


class SlowSubscriber(MainspringError):
    """A subscription was ended: more was published than is held for one that does not take it.
    `missed` posts did not reach it; behind `position` another one may still find them."""

    def __init__(self, message: str, missed: int = 0, position: str = "") -> None:
        super().__init__(message)
        self.missed = missed
        self.position = position


class IdConflict(MainspringError):
    """The id exists already, with other content; nothing was stored."""


class UniqueTaken(MainspringError):
    """A unique key is held by another job; nothing was stored. `holder` is that job's id."""

    def __init__(self, message: str, holder: bytes = b"") -> None:
        super().__init__(message)
        self.holder = holder


class QueueFull(MainspringError):
    """More jobs would wait in the queue `queue` than its `max_depth`; nothing was stored. There is
    room again when some have been taken."""

    def __init__(self, message: str, queue: str = "") -> None:
        super().__init__(message)
        self.queue = queue


class UnknownDependency(MainspringError, LookupError):
    """A job waits for an id that does not exist; nothing was stored."""


class VersionConflict(MainspringError):
    """The entry `key` is not at the version that was `expected`; nothing was written. 0 stands for
    no entry: `expected` where there should have been none, `found` where there is none."""

    def __init__(self, message: str, key: str = "", expected: int = 0, found: int = 0) -> None:
        super().__init__(message)
        self.key = key
        self.expected = expected
        self.found = found


class NotInteger(MainspringError):
    """An entry that was to be added to is no integer of 64 bits, or would not be one any more."""


class LeaseLost(MainspringError):
    """The job is no longer held under this grant; nothing was changed."""


class StoreUnavailable(MainspringError):
    """The store cannot be reached or cannot write now. May be tried again."""


class StoreFull(StoreUnavailable):
    """No space is left. Intake and claims stop; nothing is lost; it heals by itself."""


class StoreGone(StoreUnavailable):
    """The file was removed or replaced while it was in use. Nothing is written to it any more;
    this store must be opened anew, by another object."""


class PartlyUnavailable(StoreUnavailable):
    """Of several stores that are one, some do not answer, and the others did their part.

    `answer` is theirs, as the verb gives it; `missed` are the jobs, transitions or tokens that
    nobody has heard of. The whole call may be repeated.
    """

    def __init__(self, message: str, answer: Any, missed: Sequence[Any]) -> None:
        super().__init__(message)
        self.answer = answer
        self.missed = missed


class UniqueBusy(StoreUnavailable):
    """A unique key is being taken or freed in a transaction that has not ended, and was waited for
    in vain; nothing was stored. May be tried again."""


class SchemaError(MainspringError):
    """The file or database is not one of ours, or was written by another version."""


class StoreDamaged(MainspringError):
    """The store contradicts itself; `mainspring check` says where."""


class JobFailed(MainspringError):
    """The job whose result was awaited ended as failed. `error` is its last error."""

    def __init__(self, message: str, error: object = None) -> None:
        super().__init__(message)
        self.error = error


class JobCancelled(MainspringError):
    """The job whose result was awaited was cancelled."""


class ResultTimeout(MainspringError, TimeoutError):
    """The job did not end in time. It goes on; only the wait ended."""


class Interrupted(BaseException):
    """Raised in the function of a task that `runs_in="process"`, wherever it is, because it has to
    end: `reason` is "time limit", "cancelled", "lease lost" or "worker stops". It may clean up for
    two seconds, then its process is killed. Returning normally counts as success.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Steering(Exception):
    """Raised by a task to say what is to become of its job. Not an error."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class _After(Steering):
    def __init__(self, delay: "float | timedelta | str", reason: str = "") -> None:
        super().__init__(reason)
        self.delay = delay


class Snooze(_After):
    """Run the job again after `delay` (seconds, timedelta or "5m"); costs no attempt."""


class RetryAfter(_After):
    """This attempt failed; try again after exactly `delay`, if attempts are left."""


class RateLimited(_After):
    """The other side asked for a pause of `delay`; costs no attempt."""


class Cancel(Steering):
    """End the job as cancelled."""


class Reject(Steering):
    """End the job as failed at once, whatever attempts are left."""
