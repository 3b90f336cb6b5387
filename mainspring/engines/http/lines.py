"""Lines: connections to one server, kept open and shared by all threads of a process.

What may be made twice, since ids and tokens are the caller's own, is made again for a short while,
whatever becomes of a connection. What may not is not made again once it has been sent.
"""

import http.client
import os
import select
import ssl
import threading
import time
from email.message import Message
from functools import cached_property
from typing import NamedTuple

from mainspring.engines.http.address import Address
from mainspring.errors import StoreUnavailable

CONNECT = 5.0
TIMEOUT = 30.0
"""Seconds within which a connection is made, and within which something is heard of an answer."""

NARROWEST = 10_000
"""Bytes that a line carries in a second, or more: a call is given so much longer."""

PATIENCE = 2.0
"""Seconds, from its first failure, for which a call is made again when the server is just not
there: as long as one takes to be started anew."""

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 0.5
IDLE = 30.0
"""Seconds after which a line is not used again: servers hang up on what is idle for longer."""

MOST_IDLE = 16

AWAY = (502, 503, 504)
"""What a server, or what stands before it, answers while nobody can do what is asked."""

CUT_OFF = (502, 504)
"""What a proxy answers that got no answer: nobody knows whether it was done."""

PERHAPS = "it may have been done all the same"

Line = http.client.HTTPConnection


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Message
    body: bytes

    @property
    def kind(self) -> str:
        """Its media type."""
        return self.headers.get_content_type()

    @property
    def retry_after(self) -> float | None:
        """Seconds after which the server wants to be asked again."""
        told = self.headers.get("Retry-After", "")
        return float(told) if told.isdecimal() else None


class Wish(NamedTuple):
    """A request. `kind` is the media type of its body, `timeout` in seconds. `repeatable` says
    whether it may be made twice, `harmless` whether a program that is not answered may ask for the
    same anew, so that it need not be told that it may have been done."""

    method: str
    path: str
    body: bytes | None = None
    kind: str = ""
    timeout: float = TIMEOUT
    repeatable: bool = True
    harmless: bool = True

    @property
    def patience(self) -> float:
        """Seconds in which it is sent, and then in which something is heard of its answer."""
        return self.timeout + len(self.body or b"") / NARROWEST


class Lines:
    """Connections to one server. Thread-safe; after a fork each process has its own."""

    def __init__(self, address: Address, key: str) -> None:
        self.address = address
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._lock = threading.Lock()
        self._idle: list[tuple[Line, float]] = []
        self._pid = os.getpid()

    def ask(self, wish: Wish) -> Answer:
        """The answer to a request; `StoreUnavailable` if none can be had."""
        trial = _Trial(wish)
        while True:
            sent = False
            try:
                line = self._taken() or self._made()
                sent = True
                answer = self._told(line, wish)
            except (OSError, http.client.HTTPException) as error:
                pause = trial.failed(error, sent=sent)
                if pause is None:
                    raise self.away(trial.words(_words(error))) from error
            else:
                pause = trial.answered(answer)
                if pause is None and trial.perhaps and answer.status in AWAY:
                    raise self.away(trial.words(f"status {answer.status}"))
                if pause is None:
                    return answer
            time.sleep(pause)

    def away(self, why: str) -> StoreUnavailable:
        """The error that says so."""
        return StoreUnavailable(f"{self.address.shown}: {why}")

    def open(self, timeout: float, path: str) -> tuple[Line, http.client.HTTPResponse]:
        """A line of one's own, with the answer to a GET on it that is still coming in."""
        line = self._new()
        try:
            line.connect()
            line.sock.settimeout(timeout)
            line.request("GET", self.address.prefix + path, headers=self._headers)
            return line, line.getresponse()
        except BaseException:
            line.close()
            raise

    def close(self) -> None:
        """Hang up."""
        with self._lock:
            idle, self._idle = self._idle, []
        for line, _ in idle if self._pid == os.getpid() else ():
            line.close()

    def _told(self, line: Line, wish: Wish) -> Answer:
        headers = self._headers | ({"Content-Type": wish.kind} if wish.kind else {})
        try:
            line.sock.settimeout(wish.patience)
            line.request(wish.method, self.address.prefix + wish.path, wish.body, headers)
            response = line.getresponse()
            answer = Answer(response.status, response.headers, response.read())
        except BaseException:
            line.close()
            raise
        if line.sock is not None:  # it is, where the server wants it closed
            with self._lock:
                if self._pid == os.getpid() and len(self._idle) < MOST_IDLE:
                    self._idle.append((line, time.monotonic()))
                    return answer
            line.close()
        return answer

    def _taken(self) -> Line | None:
        """The line that was used last of those that still stand, if there is one."""
        with self._lock:
            if self._pid != os.getpid():
                # They belong to the process that this one was forked off.
                self._pid, self._idle = os.getpid(), []
            while self._idle:
                line, since = self._idle.pop()
                if time.monotonic() < since + IDLE and not _says_something(line):
                    return line
                line.close()
        return None

    def _made(self) -> Line:
        line = self._new()
        line.connect()
        return line

    def _new(self) -> Line:
        host, port = self.address.host, self.address.port
        if self.address.encrypted:
            return http.client.HTTPSConnection(host, port, timeout=CONNECT, context=self._trust)
        return Line(host, port, timeout=CONNECT)

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        return ssl.create_default_context()


class _Trial:
    """One call, made again as long as that may help. `perhaps` it was done although there was no
    answer, and its caller must be told so."""

    def __init__(self, wish: Wish) -> None:
        self.perhaps = False
        self._wish = wish
        self._end = float("inf")
        self._pause = FIRST_PAUSE

    def failed(self, error: Exception, *, sent: bool) -> float | None:
        """Seconds after which to make it again; None: that is of no use."""
        self.perhaps |= sent and not self._wish.harmless
        lasts = isinstance(error, TimeoutError | ssl.SSLCertVerificationError)
        return None if lasts or (sent and not self._wish.repeatable) else self._after(self._pause)

    def answered(self, answer: Answer) -> float | None:
        """The same; None: that is the answer."""
        self.perhaps |= answer.status in CUT_OFF and not self._wish.harmless
        told = answer.retry_after
        if answer.status not in AWAY or told is None or not self._wish.repeatable:
            return None
        return self._after(told)

    def words(self, trouble: str) -> str:
        """What to say of it in the end."""
        return f"{trouble}; {PERHAPS}" if self.perhaps else trouble

    def _after(self, pause: float) -> float | None:
        now = time.monotonic()
        self._end = min(self._end, now + min(PATIENCE, self._wish.timeout))
        self._pause = min(LONGEST_PAUSE, 2 * self._pause)
        return pause if now + pause <= self._end else None


def _says_something(line: Line) -> bool:
    """Whether an idle line has something to say: that can only be its end."""
    poll = select.poll()
    poll.register(line.sock, select.POLLIN)
    return bool(poll.poll(0))


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, ConnectionRefusedError):
        return f"{error.strerror}: no server listens there"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
