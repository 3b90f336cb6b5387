"""Commands about queues: the queues themselves, purge, dead letters, pause, resume."""

import re

from mainspring import Mainspring, State
from tests.cli.conftest import URL, Cli, worked_off

AT = ("--url", URL)


def dead_letters(app: Mainspring) -> None:
    for queue in ("one", "two"):
        app.enqueue("double", {"n": -1}, queue=queue)
    worked_off(app)


def test_dead_letters_are_listed_replayed_and_purged_by_queue(cli: Cli, app: Mainspring) -> None:
    dead_letters(app)
    assert cli(*AT, "dlq", "list").out.count("-1 is below zero") == 2
    [letter] = cli(*AT, "dlq", "list", "two", "--json").json
    assert (letter["queue"], letter["error"]["type"]) == ("two", "ValueError")
    assert cli(*AT, "dlq", "replay", "one").out == "1 replayed\n"
    assert app.counts()["one"][State.PENDING] == 1
    assert app.counts()["two"][State.FAILED] == 1
    assert cli(*AT, "dlq", "purge").out == "1 deleted\n"
    assert cli(*AT, "dlq", "list", "--json").json == []


def test_purge_deletes_what_is_not_running(cli: Cli, app: Mainspring) -> None:
    dead_letters(app)
    app.enqueue("double", {"n": 1}, queue="one")
    app.enqueue("double", {"n": 1}, queue="two")
    assert cli(*AT, "purge", "one", "--state", "pending").out == "1 deleted\n"
    assert cli(*AT, "purge", "two").out == "2 deleted\n"
    assert [job.state for job in app.find()] == [State.FAILED]


def test_a_queue_that_nobody_used_is_pointed_out(cli: Cli, app: Mainspring) -> None:
    for command, code in (("purge", 1), ("resume", 1), ("pause", 0)):
        said = cli(*AT, command, f"typo-{command}")
        assert (said.code, said.err) == (code, f"no queue is called 'typo-{command}' so far\n")
    assert [queue.name for queue in app.queues()] == ["typo-pause"]
    said = cli(*AT, "resume", "typo-pause", "typo-more")
    assert (said.code, said.out) == (1, "resumed: typo-pause\n")
    assert said.err == "no queue is called 'typo-more' so far\n"
    assert [(queue.name, queue.paused) for queue in app.queues()] == [("typo-pause", False)]


def test_a_paused_queue_gives_out_nothing_until_it_is_resumed(cli: Cli, app: Mainspring) -> None:
    queue = app.queue("mail")
    queue.publish("hello")
    assert cli(*AT, "pause", "mail").out == "paused: mail\n"
    assert queue.consume() is None
    assert "mail (paused)" in cli(*AT, "monitor", "--once").out
    assert cli(*AT, "resume", "mail", "--json").json == {"resumed": ["mail"]}
    message = queue.consume()
    assert message is not None
    message.ack()


def test_queues_are_listed_with_who_takes_from_them_and_their_settings(
    cli: Cli, app: Mainspring
) -> None:
    app.enqueue("double", {"n": 1})
    app.queue("videos").publish("a.mp4")
    app.configure("mail", aging="10s", keep_completed="7d")
    app.pause("mail")
    text = cli(*AT, "queues").out
    assert re.search(r"^default +workers +1 +0 +0 +–$", text, re.M)
    assert re.search(r"^videos +consumers +1 +0 +0 ", text, re.M)
    changed = r"aging 10.0s, keep_completed 7d 0h"
    assert re.search(rf"^mail +nobody \(paused\) +0 +0 +0 +{changed}$", text, re.M)
    told = {each["name"]: each for each in cli(*AT, "queues", "--json").json}
    assert [name for name in told if told[name]["by_hand"]] == ["videos"]
    assert [name for name in told if told[name]["paused"]] == ["mail"]
    assert (told["mail"]["aging"], told["mail"]["keep_completed"]) == (10, 604_800)
    assert told["videos"]["jobs"]["pending"] == 1


def test_the_monitor_marks_queues_that_workers_leave_to_consumers(
    cli: Cli, app: Mainspring
) -> None:
    app.enqueue("double", {"n": 1})
    app.queue("videos").publish("a.mp4")
    assert re.search(r"^videos \(by hand\) +1$", cli(*AT, "monitor", "--once").out, re.M)
    queues = cli(*AT, "monitor", "--json").json["queues"]
    assert [name for name in queues if queues[name]["by_hand"]] == ["videos"]


def test_settings_of_a_queue_are_changed_and_listed(cli: Cli, app: Mainspring) -> None:
    change = ("--max-retries", "5", "--retry-delays", "10s,1m,5m", "--ack-deadline", "5m")
    said = cli(*AT, "queues", "configure", "mail", *change, "--max-depth", "1000")
    assert said.out == (
        "mail: ack_deadline 5m 0s, max_retries 5, retry_delays 10.0s/1m 0s/5m 0s, max_depth 1000\n"
    )
    [shown] = cli(*AT, "queues", "--json").json
    assert (shown["max_retries"], shown["retry_delays"]) == (5, [10, 60, 300])
    assert (shown["ack_deadline"], shown["max_depth"]) == (300, 1000)
    cli("queues", *AT, "configure", "mail", "--retry-delays", "", "--max-depth", "0")
    [info] = app.queues()
    assert (info.retry_delays, info.max_depth, info.max_retries) == ((), 0, 5)
    assert "max_retries 5" in cli(*AT, "queues").out


def test_settings_that_do_not_fit_are_refused(cli: Cli, app: Mainspring) -> None:
    for wrong in (
        (),
        ("--max-retries", "-1"),
        ("--retry-delays", "10s,soon"),
        ("--retry-delays", "31d"),
        ("--ack-deadline", "0"),
        ("--max-depth", "x"),
    ):
        assert cli(*AT, "queues", "configure", "mail", *wrong).code == 2, wrong
    assert app.queues() == []
