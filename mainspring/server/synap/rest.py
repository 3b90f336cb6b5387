"""REST: Synap's paths, each a command whose fields stand in the path, the query and the body."""

from collections.abc import Callable
from typing import Any, TypeAlias
from uuid import uuid4

from msgspec import Struct
from msgspec.json import Decoder
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from mainspring.server.entry.guard import SAME_SITE
from mainspring.server.entry.paths import Endpoint, Operation
from mainspring.server.forms import asked
from mainspring.server.forms.answers import answer
from mainspring.server.synap.commands import Commander, fault
from mainspring.server.synap.refusals import forbidden, invalid, refusal_of

Fields: TypeAlias = dict[str, Any]
BODY = Decoder(dict[str, Any])


def as_it_is(_: Fields, result: Any) -> Any:
    """The same answer as the command's."""
    return result


def _same(fields: Fields) -> Fields:
    return fields


class Way(Struct, frozen=True):
    """A path and method that lead to a command. `fields` makes the command's of what came, `shape`
    the answer of what the command told, `mild` says that failures, too, have status 200. What
    `takes` something though it is a GET must not be for an image in a page of another site."""

    method: str
    place: str
    command: str
    shape: Callable[[Fields, Any], Any] = as_it_is
    fields: Callable[[Fields], Fields] = _same
    mild: bool = False
    takes: bool = False


def _set(fields: Fields, result: Any) -> Any:
    return {"success": True, "key": fields["key"], "written": True} | result


def _get(_: Fields, result: Any) -> Any:
    return {"error": "Key not found"} if result is None else result


def _keyed(fields: Fields, result: Any) -> Any:
    return result | {"key": fields["key"]}


def _created(fields: Fields, result: Any) -> Any:
    return result | {"queue": fields["name"]}


def _configured(fields: Fields) -> Fields:
    return {"name": fields.pop("queue"), "config": fields}


def _nack(fields: Fields) -> Fields:
    if not isinstance(fields.get("requeue"), bool):
        raise invalid("Missing 'requeue' field")
    return fields


def _message(_: Fields, result: Any) -> Any:
    message = result["message"] or dict.fromkeys(
        ("id", "payload", "priority", "retry_count", "max_retries", "headers")
    )
    return {"message_id": message.pop("id")} | message


def _successful(_: Fields, result: Any) -> Any:
    return {"success": True} | result


def _room(fields: Fields, _: Any) -> Any:
    return {"success": True, "room": fields["room"]}


WAYS = (
    Way("POST", "/kv/set", "kv.set", _set),
    Way("GET", "/kv/get/{key:path}", "kv.get", _get),
    Way("DELETE", "/kv/del/{key:path}", "kv.del", _keyed),
    Way("GET", "/kv/stats", "kv.stats"),
    Way("GET", "/key/{key:path}/exists", "kv.exists", _keyed),
    Way("GET", "/queue/list", "queue.list"),
    Way("POST", "/queue/{queue}", "queue.create", _created, _configured),
    Way("DELETE", "/queue/{queue}", "queue.delete", _successful),
    Way("POST", "/queue/{queue}/publish", "queue.publish"),
    Way("GET", "/queue/{queue}/consume/{consumer_id}", "queue.consume", _message, takes=True),
    Way("POST", "/queue/{queue}/ack", "queue.ack"),
    Way("POST", "/queue/{queue}/nack", "queue.nack", fields=_nack),
    Way("GET", "/queue/{queue}/stats", "queue.stats"),
    Way("POST", "/queue/{queue}/purge", "queue.purge", _successful),
    Way("POST", "/pubsub/subscribe", "pubsub.subscribe", mild=True),
    Way("POST", "/pubsub/unsubscribe", "pubsub.unsubscribe", mild=True),
    Way("GET", "/pubsub/stats", "pubsub.stats", mild=True),
    Way("GET", "/pubsub/topics", "pubsub.topics", mild=True),
    Way("POST", "/pubsub/{topic}/publish", "pubsub.publish", mild=True),
    Way("GET", "/pubsub/{topic}/info", "pubsub.info", mild=True),
    Way("GET", "/stream/list", "stream.list"),
    Way("POST", "/stream/{room}", "stream.create"),
    Way("PUT", "/stream/{room}", "stream.get_or_create"),
    Way("DELETE", "/stream/{room}", "stream.delete", _room),
    Way("POST", "/stream/{room}/publish", "stream.publish"),
    Way("GET", "/stream/{room}/consume/{subscriber_id}", "stream.consume"),
    Way("GET", "/stream/{room}/stats", "stream.stats"),
    Way("POST", "/transaction/multi", "transaction.multi"),
    Way("POST", "/transaction/exec", "transaction.exec"),
    Way("POST", "/transaction/discard", "transaction.discard"),
    Way("POST", "/transaction/watch", "transaction.watch"),
    Way("POST", "/transaction/unwatch", "transaction.unwatch"),
)


def operation(way: Way, commander: Commander) -> Operation:
    """What a way is as part of a path."""
    command = commander[way.command]
    endpoint = _endpoint(way, commander)
    endpoint.__doc__ = (command.run or command.wait).__doc__
    return Operation(command.permission, endpoint)


def _endpoint(way: Way, commander: Commander) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        try:
            if way.takes:
                _refuse_others(request)
            fields = way.fields(await _fields(request))
            result = await commander.run(way.command, fields, request, str(uuid4()))
        except ClientDisconnect:
            raise
        except Exception as error:
            return answer({"error": refusal_of(error).words}) if way.mild else fault(error)
        return answer(way.shape(fields, result))

    return endpoint


def _refuse_others(request: Request) -> None:
    site = asked.header(request, b"sec-fetch-site", "none").encode()
    if site not in SAME_SITE or request.method != "GET":
        raise forbidden("expected a GET by a program or a page of this very site")


async def _fields(request: Request) -> Fields:
    """What the path, the query and the body say, the path before the others."""
    body: Fields = {}
    if request.method not in ("GET", "HEAD"):
        body = await asked.body_or(request, BODY, {})
    query = {name: _number(value) for name, value in request.query_params.items()}
    return {**query, **body, **request.path_params}


def _number(text: str) -> int | float | str:
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        return text
