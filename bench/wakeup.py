"""How soon a consumer who waits over HTTP has the message that somebody publishes."""

import asyncio
import json
import re
import time

WAITING = 200
"""Consumers who wait in the same queue, each on a connection of its own."""

MESSAGES = 200
PAUSE = 0.02
"""Seconds between the answer to one message and the next, so that they all wait again."""


async def wakeups(port: int) -> list[float]:
    """Milliseconds from the first byte of each publish to the whole message at a consumer."""
    arrivals: asyncio.Queue[float] = asyncio.Queue()
    consumers = [asyncio.create_task(_consume(port, arrivals)) for _ in range(WAITING)]
    await asyncio.sleep(2)
    publisher = await asyncio.open_connection("127.0.0.1", port)
    took = []
    for n in range(MESSAGES):
        began = time.perf_counter()
        answered = asyncio.create_task(_asked(publisher, "publish", {"body": {"n": n}}))
        took.append(1000 * (await arrivals.get() - began))
        await answered
        await asyncio.sleep(PAUSE)
    for consumer in consumers:
        consumer.cancel()
    await asyncio.gather(*consumers, return_exceptions=True)
    publisher[1].close()
    return took


async def _consume(port: int, arrivals: asyncio.Queue[float]) -> None:
    connection = await asyncio.open_connection("127.0.0.1", port)
    try:
        while True:
            told = await _asked(connection, "consume", {"timeout": 60, "ackDeadline": "1h"})
            assert len(told["messages"]) == 1
            arrivals.put_nowait(time.perf_counter())
    finally:
        connection[1].close()


async def _asked(
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], verb: str, body: object
) -> dict[str, list[object]]:
    """The answer to one request."""
    reader, writer = connection
    data = json.dumps(body).encode()
    head = (
        f"POST /queues/bench/{verb} HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    writer.write(head.encode() + data)
    told = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", told)
    assert length, told
    answer: dict[str, list[object]] = json.loads(await reader.readexactly(int(length[1])))
    return answer
