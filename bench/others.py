"""What other clients of a server feel while something goes on: how long their requests take."""

import asyncio
import json
import re
import time

OTHERS = 400
PAUSE = 0.01
"""Requests, and the seconds between two of them."""


async def times_of_others(port: int) -> list[float]:
    """Milliseconds of each of some requests on one connection, by turns `POST /tasks`, of a job
    that nobody runs, and a `GET` of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = json.dumps({"type": "noop", "queue": "others", "payload": {"n": 1, "fill": ""}}).encode()
    head = "POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    create = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    took, request = [], create
    for _ in range(OTHERS):
        began = time.perf_counter()
        writer.write(request)
        answer = await _answer(reader)
        took.append(1000 * (time.perf_counter() - began))
        if request is create:
            id = json.loads(answer)["task"]["id"]
            request = f"GET /tasks/{id} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        else:
            request = create
        await asyncio.sleep(PAUSE)
    writer.close()
    return took


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 20" in head[:12], head
    length = re.search(rb"(?i)content-length: (\d+)", head)
    assert length, head
    return await reader.readexactly(int(length[1]))
