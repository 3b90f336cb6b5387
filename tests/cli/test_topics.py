"""Commands about topics."""

import subprocess
from collections.abc import Callable

from mainspring import Mainspring
from tests.cli.conftest import URL, Cli

TOPICS = ("--url", URL, "topics")


def test_what_is_published_is_printed_by_who_subscribed(
    cli: Cli, app: Mainspring, program: Callable[..., "subprocess.Popen[str]"]
) -> None:
    subscriber = program(*TOPICS, "subscribe", "orders.*", "--count", "2", "--after", "0")
    number = int(cli(*TOPICS, "publish", "orders.new", '{"n": [1]}', "--header", "by=me").out)
    app.topics.publish("other", "x")
    app.topics.publish("orders.gone", b"\xff")
    out, _ = subscriber.communicate(timeout=60)
    first, second = out.splitlines()
    assert first.endswith('  orders.new  {"n":[1]}')
    assert second.endswith("  orders.gone  \\xff")
    assert subscriber.returncode == 0
    said = cli(*TOPICS, "subscribe", "orders.new", "--after", "0", "--count", "1", "--json")
    told = said.json
    assert told.pop("at")
    assert told == {
        "topic": "orders.new",
        "body": {"n": [1]},
        "headers": {"by": "me"},
        "number": number,
        "position": str(number),
    }


def test_publish_answers_in_json(cli: Cli, app: Mainspring) -> None:
    app.topics.publish("a", 1)
    assert cli(*TOPICS, "publish", "a", "1", "--json").json == {"topic": "a", "number": 2}


def test_less_than_was_asked_for_is_told_by_the_exit_code(cli: Cli, app: Mainspring) -> None:
    app.topics.publish("a", 1)
    said = cli(*TOPICS, "subscribe", "#", "--after", "0", "--timeout", "0.01")
    assert (said.code, len(said.out.splitlines())) == (0, 1)
    said = cli(*TOPICS, "subscribe", "#", "--after", "0", "--timeout", "0.01", "--count", "2")
    assert (said.code, len(said.out.splitlines())) == (1, 1)


def test_what_does_not_fit_is_refused(cli: Cli, app: Mainspring) -> None:
    app.counts()
    for command, told in (
        (("publish", "a.*", "1"), "without * and #"),
        (("publish", "a", "{"), "expected JSON"),
        (("publish", "a", "1", "--header", "x"), "expected NAME=VALUE"),
        (("subscribe", "#.a"), "# only as the whole last level"),
        (("subscribe", "a", "--after", "x"), "expected the position"),
    ):
        said = cli(*TOPICS, *command)
        assert said.code == 2, said.err
        assert told in said.err
