"""A client for servers: `Client` and `AsyncClient`. Needs the extra `client`."""

from mainspring.client.client import AsyncClient, Client
from mainspring.client.kv import AsyncKeyValue, KeyValue, Value
from mainspring.client.tasks import AsyncTasks, Task, Tasks

__all__ = [
    "AsyncClient",
    "AsyncKeyValue",
    "AsyncTasks",
    "Client",
    "KeyValue",
    "Task",
    "Tasks",
    "Value",
]
