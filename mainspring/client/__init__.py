"""A client for servers: `Client` and `AsyncClient`. Needs the extra `client`."""

from mainspring.client.client import AsyncClient, Client
from mainspring.client.delivery import AsyncMessage, Message
from mainspring.client.kv import AsyncKeyValue, KeyValue, Value
from mainspring.client.pubsub import AsyncPubSub, AsyncSubscription, Post, PubSub, Subscription
from mainspring.client.queue import AsyncQueues, Published, Queues, Stats
from mainspring.client.tasks import AsyncTasks, Task, Tasks

__all__ = [
    "AsyncClient",
    "AsyncKeyValue",
    "AsyncMessage",
    "AsyncPubSub",
    "AsyncQueues",
    "AsyncSubscription",
    "AsyncTasks",
    "Client",
    "KeyValue",
    "Message",
    "Post",
    "PubSub",
    "Published",
    "Queues",
    "Stats",
    "Subscription",
    "Task",
    "Tasks",
    "Value",
]
