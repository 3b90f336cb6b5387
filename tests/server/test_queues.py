"""Queues over HTTP: settings, pause, purge, dead letters."""

import pytest

from mainspring import Mainspring
from tests.server.conftest import Http


def test_a_queue_is_shown_with_its_settings_and_what_is_in_it(http: Http) -> None:
    http.told(404, "GET", "/queues/mail")
    http.task(queue="mail")
    shown = http.told(200, "GET", "/queues/mail")["queue"]
    assert shown["tasks"]["pending"] == 1
    assert (shown["paused"], shown["aging"]) == (False, 60_000)
    assert [q["name"] for q in http.told(200, "GET", "/queues")["queues"]] == ["mail"]


def test_settings_change_one_by_one(http: Http, app: Mainspring) -> None:
    change = {"aging": "2m", "keepFailed": 1000, "paused": True}
    shown = http.told(200, "PATCH", "/queues/mail", json=change)["queue"]
    assert (shown["aging"], shown["keepFailed"], shown["paused"]) == (120_000, 1000, True)
    shown = http.told(200, "PATCH", "/queues/mail", json={"byHand": True})["queue"]
    assert (shown["aging"], shown["byHand"], shown["paused"]) == (120_000, True, True)
    assert http.told(200, "POST", "/queues/mail/resume")["queue"]["paused"] is False
    assert http.told(200, "POST", "/queues/mail/pause")["queue"]["paused"] is True
    assert [queue.paused for queue in app.queues()] == [True]


@pytest.mark.parametrize(
    "change", [{}, {"typo": 1}, {"aging": -1}, {"aging": None}, {"paused": "yes"}, []]
)
def test_settings_that_do_not_fit_are_refused(http: Http, change: object) -> None:
    http.told(422, "PATCH", "/queues/mail", json=change)
    assert http.told(200, "GET", "/queues")["queues"] == []


def test_a_queue_is_purged_whole_or_by_status(http: Http, app: Mainspring) -> None:
    for delay in (0, 3_600_000):
        http.task(queue="mail", delay=delay)
    gone = http.told(200, "POST", "/queues/mail/purge", json={"status": ["scheduled"]})
    assert gone["deleted"] == 1
    http.told(422, "POST", "/queues/mail/purge", json={"status": ["gone"]})
    assert http.told(200, "POST", "/queues/mail/purge")["deleted"] == 1
    assert app.find() == []


def test_dead_letters_are_listed_replayed_and_purged(http: Http, app: Mainspring) -> None:
    path = "/queues/mail/dead-letters"
    tasks = [http.task(queue="mail", payload="fail") for _ in range(3)]
    http.task(queue="other", payload="fail")
    with app.worker(in_process=True):
        assert app.wait_until_idle(20)
    page = http.told(200, "GET", f"{path}?limit=2")
    assert (page["total"], len(page["tasks"])) == (3, 2)
    rest = http.told(200, "GET", f"{path}?limit=2&after={page['next']}")["tasks"]
    assert [task["id"] for task in rest] == [tasks[0]["id"]]
    done = http.told(200, "POST", f"{path}/replay", json={"ids": [tasks[0]["id"]]})
    assert (done["replayed"], done["ids"]) == (1, [tasks[0]["id"]])
    assert http.told(200, "POST", f"{path}/purge")["deleted"] == 2
    assert http.told(200, "GET", path)["total"] == 0
    assert http.told(200, "GET", "/queues/other/dead-letters")["total"] == 1
    http.told(422, "POST", f"{path}/purge", json={"ids": []})
