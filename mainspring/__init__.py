"""mainspring: a durable task queue for Python. The public names, and nothing else."""

from typing import TYPE_CHECKING, Any

from mainspring.app import Mainspring
from mainspring.audit import Audit, Deed
from mainspring.context import Context, current
from mainspring.durations import Duration
from mainspring.errors import (
    Cancel,
    ConfigError,
    ForeignConnection,
    IdConflict,
    Interrupted,
    InvalidArguments,
    InvalidState,
    JobCancelled,
    JobFailed,
    KeyRefused,
    LeaseLost,
    MainspringError,
    NotBound,
    NotImmediate,
    NotInteger,
    PartlyUnavailable,
    PayloadTooLarge,
    QueueFull,
    RateLimited,
    Reject,
    ResultTimeout,
    ResultTooLarge,
    RetryAfter,
    SchemaError,
    SlowSubscriber,
    Snooze,
    Steering,
    StoreDamaged,
    StoreFull,
    StoreGone,
    StoreUnavailable,
    TaskError,
    TransactionError,
    UniqueBusy,
    UniqueTaken,
    UnknownAccessKey,
    UnknownDependency,
    UnknownJob,
    UnknownTask,
    UnknownWorker,
    Unsupported,
    VersionConflict,
)
from mainspring.handle import Job
from mainspring.job import NewJob, State
from mainspring.keys import Key, Keys, NewKey
from mainspring.kv import Entry, KeyValue
from mainspring.message import Message
from mainspring.operations import Affected
from mainspring.options import Options, Policies
from mainspring.pull import Published, Queue
from mainspring.registry import Tasks
from mainspring.retry import Retry
from mainspring.task import AsyncTask, BatchTask, SyncTask, Task
from mainspring.topics import Post, Subscription, Topics

if TYPE_CHECKING:
    from mainspring.client import AsyncClient as AsyncClient
    from mainspring.client import Client as Client

__version__ = "0.1.0"

__all__ = [
    "Affected",
    "AsyncTask",
    "Audit",
    "BatchTask",
    "Cancel",
    "ConfigError",
    "Context",
    "Deed",
    "Duration",
    "Entry",
    "ForeignConnection",
    "IdConflict",
    "Interrupted",
    "InvalidArguments",
    "InvalidState",
    "Job",
    "JobCancelled",
    "JobFailed",
    "Key",
    "KeyRefused",
    "KeyValue",
    "Keys",
    "LeaseLost",
    "Mainspring",
    "MainspringError",
    "Message",
    "NewJob",
    "NewKey",
    "NotBound",
    "NotImmediate",
    "NotInteger",
    "Options",
    "PartlyUnavailable",
    "PayloadTooLarge",
    "Policies",
    "Post",
    "Published",
    "Queue",
    "QueueFull",
    "RateLimited",
    "Reject",
    "ResultTimeout",
    "ResultTooLarge",
    "Retry",
    "RetryAfter",
    "SchemaError",
    "SlowSubscriber",
    "Snooze",
    "State",
    "Steering",
    "StoreDamaged",
    "StoreFull",
    "StoreGone",
    "StoreUnavailable",
    "Subscription",
    "SyncTask",
    "Task",
    "TaskError",
    "Tasks",
    "Topics",
    "TransactionError",
    "UniqueBusy",
    "UniqueTaken",
    "UnknownAccessKey",
    "UnknownDependency",
    "UnknownJob",
    "UnknownTask",
    "UnknownWorker",
    "Unsupported",
    "VersionConflict",
    "current",
]


def __getattr__(name: str) -> Any:
    """The clients, when they are asked for: they need a library that the rest does not."""
    if name in ("AsyncClient", "Client"):
        from mainspring import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
