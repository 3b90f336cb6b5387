"""What tests run as `curl` where there is none: the few of its options that the manual uses."""

import argparse
import http.client
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit


def put_into(folder: Path) -> None:
    """Make it a program of that folder."""
    script = folder / "curl"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} "$@"\n')
    script.chmod(0o755)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("-s", action="store_true")
    parser.add_argument("-X", dest="method")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-d", dest="body")
    parser.add_argument("--retry", type=int, default=0)
    parser.add_argument("--retry-connrefused", action="store_true")
    asked = parser.parse_args()
    # As curl does it, lines of a body are joined.
    body = None if asked.body is None else asked.body.replace("\n", "").encode()
    headers = dict(header.split(": ", 1) for header in asked.headers)
    url = urlsplit(asked.url)
    target = url.path + (f"?{url.query}" if url.query else "")
    for left in reversed(range(asked.retry + 1)):
        connection = http.client.HTTPConnection(url.netloc)
        try:
            connection.request(asked.method or ("POST" if body else "GET"), target, body, headers)
            sys.stdout.buffer.write(connection.getresponse().read())
            return
        except ConnectionRefusedError:
            if not left:
                raise
            time.sleep(0.5)


if __name__ == "__main__":
    main()
