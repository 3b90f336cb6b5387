"""The bare framework that the server stands on: reads a request and answers bytes it had ready.

`python -m bench.bare BYTES` prints its address and answers until it is told to stop.
"""

import signal
import socket
import sys

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn import Config, Server


def main(size: int) -> None:
    answer = b"{" + b" " * (size - 2) + b"}"

    async def created(request: Request) -> Response:
        await request.body()
        return Response(answer, 201, media_type="application/json")

    app = Starlette(routes=[Route("/tasks", created, methods=["POST"])])
    listener = socket.create_server(("127.0.0.1", 0))
    host, port = listener.getsockname()
    print(f"listens on http://{host}:{port}, jobs in nothing", file=sys.stderr, flush=True)
    config = Config(app, http="httptools", ws="none", log_config=None, access_log=False)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Server(config).run([listener])


if __name__ == "__main__":
    main(int(sys.argv[1]))
