"""Messages over HTTP: published, waited for, settled."""

import asyncio
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from msgspec import json

from mainspring import Mainspring, State, StoreUnavailable
from tests.server.conftest import Http, Running, until

QUEUE = "/queues/video_processing"


def publish(http: Http, body: Any = None, **more: Any) -> Any:
    return http.told(201, "POST", f"{QUEUE}/publish", json={"body": body} | more)


def consume(http: Http, **wish: Any) -> list[Any]:
    messages: list[Any] = http.told(200, "POST", f"{QUEUE}/consume", json=wish)["messages"]
    return messages


def stats(http: Http) -> Any:
    return http.told(200, "GET", f"{QUEUE}/stats")["stats"]


def test_a_queue_never_created_takes_a_message_gives_it_and_is_empty_when_it_is_acked(
    http: Http,
) -> None:
    body = {"type": "transcode", "videoId": 7, "video_id": None}
    told = publish(http, body, priority=9, headers={"source": "upload"})
    assert told["position"] == 1
    [message] = consume(http)
    assert (message["messageId"], message["body"]) == (told["messageId"], body)
    assert (message["headers"], message["attempt"]) == ({"source": "upload"}, 1)
    done = http.told(200, "POST", f"{QUEUE}/ack", json={"messageId": told["messageId"]})
    assert done == {"success": True, "status": "completed"}
    assert stats(http)["depth"] == 0


def test_a_list_is_published_whole_or_not_at_all(http: Http, app: Mainspring) -> None:
    letters = [{"body": n, "priority": n} for n in range(3)]
    told = http.told(201, "POST", f"{QUEUE}/publish", json=letters)["messages"]
    assert [each["position"] for each in told] == [None] * 3
    told = http.told(201, "POST", f"{QUEUE}/publish?position=true", json=letters)["messages"]
    assert [each["position"] for each in told] == [6, 4, 2]
    http.told(422, "POST", f"{QUEUE}/publish", json=[{"body": 1}, {"body": 1, "priority": 101}])
    assert app.counts()["video_processing"]["pending"] == 6
    assert [message["body"] for message in consume(http, max=100)] == [2, 2, 1, 1, 0, 0]


def test_bytes_are_published_and_shown_in_base64(http: Http, app: Mainspring) -> None:
    http.told(201, "POST", f"{QUEUE}/publish", json={"base64": "AP8="})
    [message] = consume(http)
    assert message["body"] == {"base64": "AP8="}
    http.told(200, "POST", f"{QUEUE}/release", json={"receipt": message["receipt"]})
    again = app.queue("video_processing").consume()
    assert again is not None
    assert again.body == b"\x00\xff"


def test_a_repeated_publish_under_one_key_stores_one_message(http: Http) -> None:
    key = {"Idempotency-Key": "upload-7"}
    first = http.told(201, "POST", f"{QUEUE}/publish", json={"body": 1}, headers=key)
    again = http.told(200, "POST", f"{QUEUE}/publish", json={"body": 1}, headers=key)
    assert first["messageId"] == again["messageId"]
    http.told(422, "POST", f"{QUEUE}/publish", json={"body": 2}, headers=key)
    assert stats(http)["publishedTotal"] == 1


def test_a_nacked_message_is_requeued_until_its_retries_are_used_up(http: Http) -> None:
    publish(http, max_retries := 1)
    http.told(200, "PATCH", QUEUE, json={"maxRetries": max_retries, "retryDelays": [0]})
    told = publish(http, "x", priority=1)
    held = {"messageId": told["messageId"]}
    consume(http)
    nacked = http.told(200, "POST", f"{QUEUE}/nack", json=held | {"error": "no disk"})
    assert (nacked["status"], nacked["action"]) == ("retrying", "requeued")
    [message] = consume(http, timeout=5)
    assert (message["messageId"], message["attempt"]) == (told["messageId"], 2)
    nacked = http.told(200, "POST", f"{QUEUE}/nack", json=held)
    assert (nacked["status"], nacked["action"]) == ("failed", "dead_lettered")
    assert (stats(http)["deadLetterCount"], stats(http)["deadLetteredTotal"]) == (1, 1)


def test_a_message_that_is_not_to_be_requeued_is_a_dead_letter(http: Http) -> None:
    told = publish(http)
    consume(http)
    held = {"messageId": told["messageId"], "requeue": False, "error": "unknown type"}
    assert http.told(200, "POST", f"{QUEUE}/nack", json=held)["action"] == "dead_lettered"
    [letter] = http.told(200, "GET", f"{QUEUE}/dead-letters")["tasks"]
    assert (letter["id"], letter["reason"]) == (told["messageId"], "rejected")
    assert letter["error"]["message"] == "unknown type"
    http.told(200, "POST", f"{QUEUE}/dead-letters/replay")
    assert [message["messageId"] for message in consume(http)] == [told["messageId"]]
    assert stats(http)["deadLetterCount"] == 0
    assert stats(http)["deadLetteredTotal"] == 1


def test_a_receipt_is_good_for_one_delivery_and_an_id_for_whoever_holds_it(http: Http) -> None:
    told = publish(http)
    [first] = consume(http, consumer="w1")
    assert http.told(200, "POST", f"{QUEUE}/release", json={"receipt": first["receipt"]}) == {
        "success": True,
        "status": "pending",
    }
    [second] = consume(http, consumer="w2")
    assert second["attempt"] == 1
    for verb, more in (("ack", {}), ("nack", {}), ("release", {}), ("extend", {"ackDeadline": 9})):
        lost = http.told(409, "POST", f"{QUEUE}/{verb}", json={"receipt": first["receipt"]} | more)
        assert lost["type"].endswith(":lease-lost")
    mine = {"messageId": told["messageId"], "consumer": "w1"}
    assert "held by w2" in http.told(409, "POST", f"{QUEUE}/ack", json=mine)["detail"]
    http.told(200, "POST", f"{QUEUE}/ack", json={"messageId": told["messageId"]})
    http.told(200, "POST", f"{QUEUE}/ack", json={"messageId": told["messageId"]})
    http.told(200, "POST", f"{QUEUE}/ack", json={"receipt": second["receipt"]})
    http.told(409, "POST", f"{QUEUE}/nack", json={"messageId": told["messageId"]})
    assert stats(http)["ackedTotal"] == 1


def test_a_message_of_another_queue_is_not_there(http: Http) -> None:
    told = publish(http)
    [message] = consume(http)
    http.told(404, "POST", f"{QUEUE}/ack", json={"messageId": str(uuid4())})
    unknown = f"{message['number']}-{0:016x}"
    for verb, more in (("ack", {}), ("nack", {}), ("release", {}), ("extend", {"ackDeadline": 9})):
        path = f"/queues/other/{verb}"
        http.told(404, "POST", path, json={"messageId": told["messageId"]} | more)
        lost = http.told(409, "POST", path, json={"receipt": message["receipt"]} | more)
        assert lost == http.told(409, "POST", path, json={"receipt": unknown} | more)
    assert stats(http)["inFlight"] == 1
    http.told(200, "POST", f"{QUEUE}/ack", json={"receipt": message["receipt"]})


def test_a_message_whose_deadline_passes_is_delivered_again(http: Http) -> None:
    http.told(200, "PATCH", QUEUE, json={"retryDelays": [0]})
    publish(http)
    [first] = consume(http, ackDeadline=0.2)
    [second] = consume(http, timeout=20)
    assert (second["messageId"], second["attempt"]) == (first["messageId"], 2)


def test_an_extended_message_stays_with_whoever_holds_it(http: Http, app: Mainspring) -> None:
    publish(http)
    [message] = consume(http, ackDeadline="30s")
    extended = http.told(
        200, "POST", f"{QUEUE}/extend", json={"receipt": message["receipt"], "ackDeadline": "1h"}
    )
    assert extended["deadline"] - message["deadline"] > 3_500_000
    assert app.workers() == []


def test_settings_of_the_queue_hold_for_messages_that_bring_none(http: Http) -> None:
    change = {"maxRetries": 5, "retryDelays": [10, 60, "5m"], "ackDeadlineSecs": 300}
    shown = http.told(200, "PATCH", QUEUE, json=change)["queue"]
    assert (shown["maxRetries"], shown["retryDelays"]) == (5, [10, 60, 300])
    assert (shown["ackDeadlineSecs"], shown["maxDepth"]) == (300, 0)
    told = publish(http)
    [message] = consume(http)
    assert 290_000 < message["deadline"] - time.time() * 1000 < 301_000
    http.told(200, "POST", f"{QUEUE}/nack", json={"messageId": told["messageId"]})
    task = http.told(200, "GET", f"/tasks/{told['messageId']}")["task"]
    assert task["maxAttempts"] == 6
    assert 9_000 < task["dueAt"] - time.time() * 1000 <= 10_000


def test_a_full_queue_says_so_until_there_is_room(http: Http, app: Mainspring) -> None:
    http.told(200, "PATCH", QUEUE, json={"maxDepth": 2})
    publish(http)
    publish(http)
    full = http.request("POST", f"{QUEUE}/publish", json={"body": 1})
    assert (full.status_code, full.headers["retry-after"]) == (429, "1")
    assert full.json()["type"] == "urn:mainspring:problem:queue-full"
    http.told(429, "POST", "/tasks", json={"type": "echo", "queue": "video_processing"})
    with ThreadPoolExecutor(8) as pool:  # one full queue spoils no batch
        others = pool.map(lambda n: http.task(queue="other"), range(8))
        refused = pool.map(
            lambda n: http.request("POST", f"{QUEUE}/publish", json={"body": n}).status_code,
            range(8),
        )
        assert len(list(others)) == 8
        assert set(refused) == {429}
    consume(http)
    publish(http)


def test_statistics_are_the_eight_of_a_queue_and_what_is_in_flight(http: Http) -> None:
    empty = stats(http)
    assert set(empty.values()) == {0}
    for n in range(3):
        publish(http, n)
    consume(http, consumer="w1")
    [message] = consume(http, consumer="w2")
    http.told(200, "POST", f"{QUEUE}/ack", json={"receipt": message["receipt"]})
    told = stats(http)
    wait = told.pop("avgWaitTimeMs")
    assert wait > 0
    assert told == {
        "depth": 1,
        "inFlight": 1,
        "consumers": 1,
        "publishedTotal": 3,
        "consumedTotal": 2,
        "ackedTotal": 1,
        "deadLetteredTotal": 0,
        "deadLetterCount": 0,
    }


@pytest.mark.parametrize(
    ("verb", "said"),
    [
        ("publish", {}),
        ("publish", {"body": 1, "base64": "AA=="}),
        ("publish", {"base64": "?"}),
        ("publish", {"body": 1, "typo": 1}),
        ("publish", {"body": 1, "headers": {"a": 1}}),
        ("publish", {"body": 1, "delay": -1}),
        ("publish", []),
        ("publish?position=perhaps", {"body": 1}),
        ("consume", {"timeout": 301}),
        ("consume", {"timeout": -1}),
        ("consume", {"timeout": "soon"}),
        ("consume", {"max": 0}),
        ("consume", {"max": 101}),
        ("consume", {"ackDeadline": 0}),
        ("consume", {"consumer": "\n"}),
        ("ack", {}),
        ("ack", {"receipt": "1-2"}),
        ("ack", {"messageId": "7"}),
        ("ack", {"receipt": "1-0000000000000001", "messageId": str(uuid4())}),
        ("nack", {"receipt": "1-0000000000000001", "requeue": False, "delay": 1}),
        ("extend", {"receipt": "1-0000000000000001"}),
        ("extend", {"receipt": "1-0000000000000001", "ackDeadline": 0}),
    ],
)
def test_what_does_not_fit_is_refused(http: Http, verb: str, said: object) -> None:
    http.told(422, "POST", f"{QUEUE}/{verb}", json=said)
    assert http.told(200, "GET", "/queues")["queues"] == []


# --- waiting ------------------------------------------------------------------------------------


class Waiter:
    """A consumer who waits, on a connection of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def told(self) -> list[Any]:
        """The messages of the answer."""
        answer = await self._reader.read()
        self._writer.close()
        await self._writer.wait_closed()
        assert answer.startswith(b"HTTP/1.1 200"), answer
        messages: list[Any] = json.decode(answer.partition(b"\r\n\r\n")[2])["messages"]
        return messages

    async def dies(self) -> None:
        self._writer.transport.abort()
        await self._writer.wait_closed()


async def waiter(port: int, **wish: Any) -> Waiter:
    body = json.encode({"timeout": 60} | wish)
    head = (
        f"POST {QUEUE}/consume HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode() + body)
    return Waiter(reader, writer)


class Claims:
    """How many claims the app's store has answered, and whether it holds them up or is away."""

    def __init__(self, app: Mainspring, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answered = 0
        self.begun = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self.away = False
        exchange = app.store.exchange

        def counted(*args: Any, **more: Any) -> Any:
            self.begun.set()
            if self.away:
                raise StoreUnavailable("away for a moment")
            answer = exchange(*args, **more)
            assert self.gate.wait(30)
            self.answered += 1
            return answer

        monkeypatch.setattr(app.store, "exchange", counted)


@pytest.fixture
def claims(app: Mainspring, monkeypatch: pytest.MonkeyPatch) -> Claims:
    return Claims(app, monkeypatch)


def waiting(server: Running) -> int:
    return server.service.waiters


async def all_wait(server: Running, count: int) -> None:
    await asyncio.to_thread(until, lambda: waiting(server) >= count)


def test_of_two_hundred_who_wait_the_first_gets_the_message_and_nobody_else_asks(
    server: Running, app: Mainspring, claims: Claims
) -> None:
    async def story() -> None:
        waiters = [await waiter(server.port, consumer="first")]
        await all_wait(server, 1)
        waiters += [await waiter(server.port, consumer=f"w{n}") for n in range(199)]
        await all_wait(server, 200)
        before = claims.answered
        await app.queue("video_processing").apublish("news")
        [message] = await waiters[0].told()
        assert message["body"] == "news"
        await asyncio.sleep(0)
        # One that got it, one that found no more; and what looks each second may have added.
        assert claims.answered - before <= 5
        await app.queue("video_processing").apublish_many(range(199))
        got = await asyncio.gather(*[each.told() for each in waiters[1:]])
        assert sorted(each[0]["body"] for each in got) == list(range(199))
        assert len({each[0]["receipt"] for each in got}) == 199

    asyncio.run(story())
    assert app.queue("video_processing").stats().running == 200


def test_those_who_wait_are_served_in_the_order_they_came(server: Running, app: Mainspring) -> None:
    async def story() -> None:
        waiters = []
        for n in range(5):
            waiters.append(await waiter(server.port, consumer=f"w{n}"))
            await all_wait(server, n + 1)
        for n, each in enumerate(waiters):
            await app.queue("video_processing").apublish(n)
            [message] = await each.told()
            assert message["body"] == n

    asyncio.run(story())


def test_each_kind_of_message_goes_to_those_who_want_it(server: Running, app: Mainspring) -> None:
    async def story() -> None:
        thumbs = await waiter(server.port, types=["thumbnail"])
        await all_wait(server, 1)
        anything = await waiter(server.port)
        await all_wait(server, 2)
        queue = app.queue("video_processing")
        await queue.apublish("t", task="transcode")
        assert [each["body"] for each in await anything.told()] == ["t"]
        await queue.apublish("s", task="thumbnail")
        assert [each["type"] for each in await thumbs.told()] == ["thumbnail"]

    asyncio.run(story())


def test_a_client_that_goes_away_while_it_waits_takes_nothing(
    server: Running, app: Mainspring, http: Http
) -> None:
    async def story() -> None:
        waiters = [await waiter(server.port) for _ in range(3)]
        await all_wait(server, 3)
        for each in waiters:
            await each.dies()
        await asyncio.to_thread(until, lambda: not waiting(server))

    asyncio.run(story())
    publish(http, "still here")
    assert stats(http)["inFlight"] == 0
    assert [message["attempt"] for message in consume(http)] == [1]


def test_what_was_claimed_for_a_client_that_has_gone_is_given_back_at_no_cost(
    server: Running, app: Mainspring, http: Http, claims: Claims
) -> None:
    publish(http, "mine")

    async def story() -> None:
        claims.gate.clear()
        claims.begun.clear()
        gone = await waiter(server.port)
        await asyncio.to_thread(claims.begun.wait, 30)
        await gone.dies()
        await asyncio.sleep(0.1)  # nothing tells when the server has seen it
        claims.gate.set()

    asyncio.run(story())
    [message] = consume(http, timeout=20)
    assert (message["body"], message["attempt"]) == ("mine", 1)


def test_who_waits_is_served_when_a_store_that_was_away_is_back(
    server: Running, app: Mainspring, claims: Claims
) -> None:
    async def story() -> None:
        waits = await waiter(server.port)
        await all_wait(server, 1)
        claims.away = True
        claims.begun.clear()
        await app.queue("video_processing").apublish("late")
        await asyncio.to_thread(claims.begun.wait, 30)
        claims.away = False
        assert [each["body"] for each in await waits.told()] == ["late"]

    asyncio.run(story())


def test_a_wait_for_a_store_that_is_away_ends_with_its_trouble(
    server: Running, http: Http, claims: Claims
) -> None:
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(http.post, f"{QUEUE}/consume", json={"timeout": 2})
        until(lambda: waiting(server))
        claims.away = True
        answer = asked.result()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert http.post(f"{QUEUE}/consume").status_code == 503


def test_a_wait_in_vain_is_answered_with_nothing(http: Http) -> None:
    assert consume(http) == []
    assert consume(http, timeout="50ms") == []
    assert http.told(200, "GET", "/queues")["queues"] == []


def test_what_falls_due_is_delivered_to_who_waits(http: Http) -> None:
    publish(http, "later", delay="300ms")
    assert [message["body"] for message in consume(http, timeout=20)] == ["later"]


def test_who_waits_in_many_queues_is_found_in_each(server: Running, app: Mainspring) -> None:
    with (
        ThreadPoolExecutor(20) as pool,
        Http(base_url=f"http://127.0.0.1:{server.port}", timeout=30) as http,
    ):
        asked = [
            pool.submit(http.told, 200, "POST", f"/queues/q{n}/consume", json={"timeout": 20})
            for n in range(12)
        ]
        until(lambda: waiting(server) == 12)
        for n in range(12):
            app.queue(f"q{n}").publish(n, delay="100ms" if n % 2 else 0)
        assert [each.result()["messages"][0]["body"] for each in asked] == list(range(12))


def test_a_server_that_stops_answers_those_who_wait_at_once(app: Mainspring) -> None:
    server = Running(app)

    async def story() -> list[list[Any]]:
        waiters = [await waiter(server.port) for _ in range(20)]
        await all_wait(server, 20)
        await asyncio.to_thread(server.stop)
        return [await each.told() for each in waiters]

    assert asyncio.run(story()) == [[]] * 20
    app.queue("video_processing").publish("kept")
    assert app.counts()["video_processing"][State.PENDING] == 1


def test_two_servers_over_one_store_share_what_is_published(app: Mainspring) -> None:
    with Mainspring(app.url) as second:
        servers = [Running(app), Running(second)]
        try:

            async def story() -> None:
                waiters = []
                for server in servers:
                    waiters += [await waiter(server.port) for _ in range(10)]
                    await all_wait(server, 10)
                await app.queue("video_processing").apublish_many(range(20))
                got = await asyncio.gather(*[each.told() for each in waiters])
                assert sorted(each[0]["body"] for each in got) == list(range(20))

            asyncio.run(story())
        finally:
            for server in servers:
                server.stop()


def test_a_message_that_cannot_be_read_becomes_a_dead_letter(http: Http, app: Mainspring) -> None:
    with sqlite3.connect(app.url.removeprefix("sqlite:///")) as file:
        told = publish(http, "good")
        file.execute("UPDATE job SET payload = ? WHERE number = 1", (b"{no json",))
    assert consume(http) == []
    [letter] = http.told(200, "GET", f"{QUEUE}/dead-letters")["tasks"]
    assert (letter["id"], letter["reason"]) == (told["messageId"], "rejected")
