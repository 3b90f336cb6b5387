"""mainspring: a durable task queue for Python. The public names, and nothing else."""

from mainspring.app import Mainspring
from mainspring.context import Context, current
from mainspring.durations import Duration
from mainspring.errors import (
    Cancel,
    ConfigError,
    IdConflict,
    Interrupted,
    InvalidArguments,
    InvalidState,
    JobCancelled,
    JobFailed,
    LeaseLost,
    MainspringError,
    NotBound,
    NotImmediate,
    PartlyUnavailable,
    PayloadTooLarge,
    RateLimited,
    Reject,
    ResultTimeout,
    ResultTooLarge,
    RetryAfter,
    SchemaError,
    Snooze,
    Steering,
    StoreDamaged,
    StoreFull,
    StoreUnavailable,
    TaskError,
    TransactionError,
    UniqueBusy,
    UniqueTaken,
    UnknownDependency,
    UnknownJob,
    UnknownTask,
    UnknownWorker,
    Unsupported,
)
from mainspring.handle import Job
from mainspring.job import NewJob, State
from mainspring.message import Message
from mainspring.operations import Affected
from mainspring.options import Options, Policies
from mainspring.pull import Published, Queue
from mainspring.registry import Tasks
from mainspring.retry import Retry
from mainspring.task import AsyncTask, BatchTask, SyncTask, Task

__version__ = "0.1.0"

__all__ = [
    "Affected",
    "AsyncTask",
    "BatchTask",
    "Cancel",
    "ConfigError",
    "Context",
    "Duration",
    "IdConflict",
    "Interrupted",
    "InvalidArguments",
    "InvalidState",
    "Job",
    "JobCancelled",
    "JobFailed",
    "LeaseLost",
    "Mainspring",
    "MainspringError",
    "Message",
    "NewJob",
    "NotBound",
    "NotImmediate",
    "Options",
    "PartlyUnavailable",
    "PayloadTooLarge",
    "Policies",
    "Published",
    "Queue",
    "RateLimited",
    "Reject",
    "ResultTimeout",
    "ResultTooLarge",
    "Retry",
    "RetryAfter",
    "SchemaError",
    "Snooze",
    "State",
    "Steering",
    "StoreDamaged",
    "StoreFull",
    "StoreUnavailable",
    "SyncTask",
    "Task",
    "TaskError",
    "Tasks",
    "TransactionError",
    "UniqueBusy",
    "UniqueTaken",
    "UnknownDependency",
    "UnknownJob",
    "UnknownTask",
    "UnknownWorker",
    "Unsupported",
    "current",
]
