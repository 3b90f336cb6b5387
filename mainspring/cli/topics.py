"""Commands about topics: publish, subscribe."""

from collections.abc import Sequence
from typing import Any

import click
import msgspec

from mainspring.cli.enqueue import payload
from mainspring.cli.options import Place, command, duration
from mainspring.cli.tables import local_time
from mainspring.durations import moment
from mainspring.topics import Post


@click.group()
def topics() -> None:
    """Topics: publish, and subscribe to what others publish."""


@command
@click.argument("topic")
@click.argument("body", type=payload)
@click.option("--header", "headers", multiple=True, metavar="NAME=VALUE", help="May be repeated.")
def _publish(place: Place, topic: str, body: Any, headers: Sequence[str]) -> None:
    """Publish BODY (JSON, or @FILE, or - for standard input) on TOPIC; prints its number."""
    with place.app(new=True) as app:
        number = app.topics.publish(topic, body, headers=dict(map(_header, headers)))
    place.answer({"topic": topic, "number": number}, f"{number}")


@command
@click.argument("patterns", nargs=-1, required=True)
@click.option(
    "--after", metavar="POSITION", help="Begin with what is kept behind it (0: with all)."
)
@click.option("--count", type=click.IntRange(1), help="End after so many.")
@click.option("--timeout", type=duration, help='End when nothing comes for so long, such as "5s".')
def _subscribe(
    place: Place,
    patterns: Sequence[str],
    after: str | None,
    count: int | None,
    timeout: str | None,
) -> int:
    """Print what is published on topics of these PATTERNS: * is one level, # all further ones. Exit
    code 1 if less came than --count within --timeout."""
    left = count
    with place.app(new=True) as app, app.topics.subscribe(*patterns, after=after) as posts:
        if posts.missed:
            click.echo(f"{posts.missed:,} posts behind {after} are not kept any more", err=True)
        while left != 0 and (post := posts.get(timeout)) is not None:
            place.answer(_as_json(post), _line(post))
            left = None if left is None else left - 1
    return 1 if left else 0


for _name, _command in (("publish", _publish), ("subscribe", _subscribe)):
    topics.add_command(_command, _name)


def _header(given: str) -> tuple[str, str]:
    name, equals, value = given.partition("=")
    if not (name and equals):
        raise click.BadParameter(f"expected NAME=VALUE, got {given!r}", param_hint="--header")
    return name, value


def _line(post: Post) -> str:
    body = post.body
    text = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return f"{local_time(moment(post.at))}  {post.topic}  {text.decode(errors='backslashreplace')}"


def _as_json(post: Post) -> dict[str, Any]:
    """A post for machines. Bytes are told as base64, under a name of their own."""
    body = post.body
    return {
        "topic": post.topic,
        "base64" if isinstance(body, bytes) else "body": body,
        "headers": post.headers,
        "number": post.number,
        "position": post.position,
        "at": post.at,
    }
