"""Proxies of the tests' own before a server: HAProxy and nginx, as lenient as they can be made.

They let nothing through to the path of `CANARY` in tests/server/hostile.py.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 20

HAPROXY = """
defaults
    mode http
    option accept-invalid-http-request
    timeout connect 5s
    timeout client 2s
    timeout server 10s
    timeout http-request 2s
frontend clients
    bind unix@{folder}/socket
    http-request deny if {{ path /queues/canary/pause }}
    default_backend server
backend server
    http-reuse always
    server only 127.0.0.1:{port}
"""

NGINX = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    ignore_invalid_headers off;
    underscores_in_headers on;
    merge_slashes off;
    client_header_timeout 2s;
    client_body_timeout 2s;
    upstream server {{
        server 127.0.0.1:{port};
        keepalive 8;
    }}
    server {{
        listen unix:{folder}/socket;
        location = /queues/canary/pause {{
            return 403;
        }}
        location / {{
            proxy_pass http://server;
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_set_header Host $host;
            proxy_set_header Connection "";
        }}
    }}
}}
"""


@contextmanager
def haproxy(port: int) -> Iterator[Path]:
    """The socket of a HAProxy before that port, until the generator is closed."""
    yield from _run("haproxy", HAPROXY, ["-db", "-q", "-f"], port)


@contextmanager
def nginx(port: int) -> Iterator[Path]:
    """The same of an nginx."""
    yield from _run("nginx", NGINX, ["-c"], port)


def _run(name: str, settings: str, options: list[str], port: int) -> Iterator[Path]:
    program = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    assert program, f"tests need {name}: install {name}"
    with tempfile.TemporaryDirectory(prefix=f"mainspring-{name}-") as name_of_folder:
        folder = Path(name_of_folder)
        (folder / "settings").write_text(settings.format(folder=folder, port=port))
        with (folder / "output").open("wb") as output:
            process = subprocess.Popen(
                [program, *options, folder / "settings"], stdout=output, stderr=output, cwd=folder
            )
        try:
            _wait(process, folder)
            yield folder / "socket"
        finally:
            process.kill()
            process.wait()


def _wait(process: "subprocess.Popen[bytes]", folder: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(folder / "socket"))
                return
            except OSError:
                if time.monotonic() > end or process.poll() is not None:
                    raise AssertionError((folder / "output").read_text()) from None
        time.sleep(0.02)
