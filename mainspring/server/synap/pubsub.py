"""Publish and subscribe: Synap's commands `pubsub.*`, and its WebSocket.

What is published goes to all who listen in whatever way and at whatever server. Who has subscribed,
and what was counted, each process knows of itself.
"""

import time
from functools import partial
from typing import Any
from uuid import uuid4

from msgspec import UNSET, Struct
from starlette.routing import BaseRoute
from starlette.websockets import WebSocket

from mainspring import patterns
from mainspring.keys import Permission
from mainspring.options import text
from mainspring.server.backend.service import Service
from mainspring.server.entry.paths import path, read, socket
from mainspring.server.forms.problems import Problem
from mainspring.server.permissions.callers import Caller
from mainspring.server.permissions.narrow import everything
from mainspring.server.routes.topics import Connected, Event, Heard, Slow, TopicRoutes
from mainspring.server.synap.asking import Asked, Command, Table
from mainspring.server.synap.refusals import invalid, missing

MOST_SUBSCRIBERS = 10_000
MOST_TOPICS = 10_000
"""That this process remembers; the oldest go first."""


class Topic(Struct):
    """What is known of a topic: when it was first heard of (seconds), and how much was said."""

    created: int
    messages: int = 0


class Register:
    """Who has subscribed to what."""

    def __init__(self) -> None:
        self.published = self.delivered = self.dropped = 0
        self.topics: dict[str, Topic] = {}
        self._subscribers: dict[str, set[str]] = {}
        self._audience: patterns.Audience[str] = patterns.Audience()

    def subscribe(self, id: str, topics: tuple[str, ...]) -> None:
        """Have it listen to these, too."""
        if id not in self._subscribers and len(self._subscribers) >= MOST_SUBSCRIBERS:
            self.unsubscribe(next(iter(self._subscribers)), None)
        self._subscribers.setdefault(id, set()).update(topics)
        for topic in topics:
            self._audience.add(topic, id)
            if not is_wild(topic):
                self.topic(topic)

    def unsubscribe(self, id: str, topics: list[str] | None) -> int:
        """Have it listen to these no more, or to nothing; how many there were."""
        listened = self._subscribers.get(id, set())
        leaving = set(listened) if topics is None else listened & set(topics)
        for topic in leaving:
            self._audience.discard(topic, id)
        listened -= leaving
        if not listened:
            self._subscribers.pop(id, None)
        return len(leaving)

    def topic(self, name: str) -> Topic:
        """What is known of a topic, from now on if nothing was."""
        if name not in self.topics:
            if len(self.topics) >= MOST_TOPICS:
                self.topics.pop(next(iter(self.topics)))
            self.topics[name] = Topic(int(time.time()))
        return self.topics[name]

    def listening(self, topic: str) -> int:
        """How many listen to that topic."""
        return len(self._audience.of(topic))

    def figures(self) -> dict[str, int]:
        """How many of everything."""
        wild = sum(is_wild(topic) for topics in self._subscribers.values() for topic in topics)
        return {
            "total_topics": len(self.topics),
            "total_subscribers": len(self._subscribers),
            "total_wildcard_subscriptions": wild,
            "messages_published": self.published,
            "messages_delivered": self.delivered,
            "slow_consumers_dropped": self.dropped,
        }


class PubSubCommands:
    """What can be said and heard."""

    def __init__(self, service: Service) -> None:
        self._app = service.app
        self._register = Register()
        self._talking = TopicRoutes(service)

    def commands(self) -> Table:
        """Each command by its name."""
        return {
            "pubsub.subscribe": Command(Permission.READ, wait=self.subscribe),
            "pubsub.unsubscribe": Command(Permission.READ, wait=self.unsubscribe),
            "pubsub.publish": Command(Permission.ENQUEUE, wait=self.publish),
            "pubsub.stats": Command(Permission.READ, wait=self.stats),
            "pubsub.topics": Command(Permission.READ, wait=self.topics),
            "pubsub.list": Command(Permission.READ, wait=self.topics),
            "pubsub.info": Command(Permission.READ, wait=self.info),
        }

    def sockets(self) -> list[BaseRoute]:
        """Where one can listen."""
        return [
            path("/pubsub/ws", GET=read(self._talking.upgrade)),
            socket("/pubsub/ws", Permission.READ, self.talk),
        ]

    async def publish(self, asked: Asked) -> dict[str, Any]:
        """Tell all who listen to a topic."""
        topic = patterns.topic(asked.text("topic"))
        asked.permit(topic)
        if "payload" not in asked.payload and "data" not in asked.payload:
            raise missing("payload' or 'data")
        body = asked.payload.get("payload", asked.payload.get("data"))
        headers = {**asked.members("headers"), **asked.members("metadata")}
        number = await self._app.topics.apublish(topic, body, headers=headers)
        matched = self._register.listening(topic)
        self._register.topic(topic).messages += 1
        self._register.published += 1
        self._register.delivered += matched
        return {"message_id": str(number), "topic": topic, "subscribers_matched": matched}

    async def subscribe(self, asked: Asked) -> dict[str, Any]:
        """Note that somebody wants to hear of topics. What is said comes over the WebSocket."""
        topics = asked.texts("topics")
        if not topics:
            raise invalid("At least one topic required")
        id = text(asked.text_or("subscriber_id", "") or str(uuid4()), "subscriber_id")
        self._register.subscribe(_mark(asked.caller, id), patterns.patterns(topics))
        return {"subscriber_id": id, "topics": topics, "subscription_count": len(topics)}

    async def unsubscribe(self, asked: Asked) -> dict[str, int]:
        """Note that somebody does not want to hear of topics, or anything, any more."""
        id = _mark(asked.caller, asked.text("subscriber_id"))
        topics = None if asked.payload.get("topics") is None else asked.texts("topics")
        return {"unsubscribed": self._register.unsubscribe(id, topics)}

    async def stats(self, asked: Asked) -> dict[str, int]:
        """How many of everything this process knows of, for who may use all names."""
        everything(asked.caller)
        return self._register.figures()

    async def topics(self, asked: Asked) -> dict[str, Any]:
        """The topics that this process has heard of."""
        known = asked.caller.known(sorted(self._register.topics))
        return {"topics": known, "count": len(known)}

    async def info(self, asked: Asked) -> dict[str, Any]:
        """What this process knows of a topic."""
        name = asked.text("topic")
        topic = self._register.topics.get(name) if asked.caller.knows(name) else None
        if topic is None:
            raise invalid(f"Topic '{name}' not found")
        return {
            "topic": name,
            "subscriber_count": self._register.listening(name),
            "message_count": topic.messages,
            "created_at": topic.created,
        }

    async def talk(self, connection: WebSocket) -> None:
        """Send what is said on `topics`, a JSON text in each frame, in Synap's form."""
        given = ",".join(connection.query_params.getlist("topics"))
        topics = [topic for topic in given.split(",") if topic]
        if not topics:
            raise Problem(400, "bad-request", "expected topics, as in /pubsub/ws?topics=a,b.*")
        id = str(uuid4())
        self._register.subscribe(id, patterns.patterns(topics))
        try:
            await self._talking.talk(connection, partial(self._told, id))
        finally:
            self._register.unsubscribe(id, None)

    def _told(self, id: str, event: Event) -> dict[str, Any]:
        """An event in Synap's form."""
        match event:
            case Connected(topics=topics):
                return {
                    "type": "connected",
                    "subscriber_id": id,
                    "topics": topics,
                    "subscription_count": len(topics),
                }
            case Heard():
                return {
                    "type": "message",
                    "message_id": str(event.number),
                    "topic": event.topic,
                    "payload": {"base64": event.base64} if event.body is UNSET else event.body,
                    "metadata": event.headers,
                    "timestamp": event.at // 1000,
                }
            case Slow(missed=missed):
                self._register.dropped += 1
                return {"type": "error", "error": f"too slow: {missed} messages were missed"}


def is_wild(topic: str) -> bool:
    """Whether it stands for more than one topic."""
    return "*" in topic or "#" in topic


def _mark(caller: Caller, id: str) -> str:
    """Who has subscribed: ids of clients are their own affair."""
    return f"{caller.key}/{id}"
