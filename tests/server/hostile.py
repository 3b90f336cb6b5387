"""Requests that two servers may understand differently, and what comes back for each of them.

Each is raw bytes, and the statuses of the answers to it. `REFUSED` is hung up on; behind all others
comes `LAST`, on the same connection. What is hidden in a body, and would be a request if the body
ended earlier, is `CANARY`, which leaves a queue of that name; proxies are told to let none through.
"""

from typing import NamedTuple


class Hostile(NamedTuple):
    """`requests` is how many there are, if nothing is read as a canary."""

    name: str
    raw: bytes
    statuses: list[int]
    requests: int = 1


HOST = b"Host: localhost\r\n"
LAST = b"GET /queues/last HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
REFUSED = [400]
PASSED_GET = [200, 404]
"""Of the request, and of `LAST`."""
PASSED_POST = [201, 404]
NOT_FOUND = [404, 404]

JOB = b'{"type":"x"}'


def post(headers: bytes, body: bytes, version: bytes = b"1.1") -> bytes:
    """A POST of jobs."""
    first = b"POST /tasks HTTP/" + version + b"\r\n" + HOST
    return first + b"Content-Type: application/json\r\n" + headers + b"\r\n" + body


def get(headers: bytes = b"", line: bytes = b"GET /queues HTTP/1.1") -> bytes:
    """Any request without a body."""
    return line + b"\r\n" + HOST + headers + b"\r\n"


CANARY = get(b"Content-Length: 0\r\n", b"POST /queues/canary/pause HTTP/1.1")

CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b"c\r\n" + JOB + b"\r\n0\r\n\r\n"


def sized(length: bytes) -> bytes:
    """A POST that says how long it is in this way."""
    return post(b"Content-Length:" + length + b"\r\n", JOB)


def coded(coding: bytes) -> bytes:
    """A POST in chunks that says so in this way, and holds a canary after them."""
    return post(b"Transfer-Encoding:" + coding + b"\r\n", CHUNKS + CANARY)


def chunks(body: bytes) -> bytes:
    """A POST in these chunks."""
    return post(CHUNKED, body)


SHORT = b"Content-Length: 5\r\n"
LONG = b"Content-Length: %d\r\n" % len(CHUNKS + CANARY)

LENGTHS = [
    Hostile("length", sized(b" 12"), PASSED_POST),
    Hostile("length after a tab", sized(b"\t12"), PASSED_POST),
    Hostile("length before a space", sized(b" 12 "), PASSED_POST),
    Hostile("length with zeros", sized(b" 00012"), PASSED_POST),
    Hostile("length with a sign", sized(b" +12"), REFUSED),
    Hostile("length below zero", sized(b" -12"), REFUSED),
    Hostile("length as a list", sized(b" 12, 12"), REFUSED),
    Hostile("length with a gap", sized(b" 1 2"), REFUSED),
    Hostile("length in hex", sized(b" 0xc"), REFUSED),
    Hostile("length with an underscore", sized(b" 1_2"), REFUSED),
    Hostile("length as a fraction", sized(b" 12.0"), REFUSED),
    Hostile("length of nothing", sized(b""), REFUSED),
    Hostile("length on the next line", sized(b"\r\n 12"), REFUSED),
    Hostile("length of 64 bits and 12", sized(b" 18446744073709551628"), REFUSED),
    Hostile("length of 63 bits", sized(b" 9223372036854775808"), [413]),
    Hostile("length twice", sized(b" 12\r\nContent-Length: 12"), REFUSED),
    Hostile("two lengths", post(SHORT + b"Content-Length: 12\r\n", JOB), REFUSED),
    Hostile("length beyond the end", post(b"Content-Length: 9000\r\n", JOB), [408]),
    Hostile("length and chunks", post(LONG + CHUNKED, CHUNKS + CANARY), REFUSED),
    Hostile("chunks and length", post(CHUNKED + LONG, CHUNKS + CANARY), REFUSED),
    Hostile("short length and chunks", post(SHORT + CHUNKED, b"0\r\n\r\n" + CANARY), REFUSED),
    Hostile(
        "a GET with a canary", get(b"Content-Length: %d\r\n" % len(CANARY)) + CANARY, PASSED_GET
    ),
    Hostile(
        "a HEAD with a canary",
        get(b"Content-Length: %d\r\n" % len(CANARY), b"HEAD /queues HTTP/1.1") + CANARY,
        PASSED_GET,
    ),
    Hostile(
        "a canary to a path that is not there",
        get(b"Content-Length: %d\r\n" % len(CANARY), b"POST /nowhere HTTP/1.1") + CANARY,
        NOT_FOUND,
    ),
]

CODINGS = [
    Hostile("chunks", post(CHUNKED, CHUNKS), PASSED_POST),
    Hostile("chunks in capitals", post(CHUNKED.upper(), CHUNKS), PASSED_POST),
    Hostile("chunks after a tab", post(b"Transfer-Encoding:\tchunked\r\n", CHUNKS), PASSED_POST),
    Hostile("chunked twice", post(CHUNKED + CHUNKED, CHUNKS + CANARY), REFUSED),
    Hostile("chunked, chunked", coded(b" chunked, chunked"), REFUSED),
    Hostile("x, chunked", coded(b" x, chunked"), REFUSED),
    Hostile("gzip, chunked", coded(b" gzip, chunked"), REFUSED),
    Hostile("chunked, x", coded(b" chunked, x"), REFUSED),
    Hostile("x and chunked", coded(b" x\r\nTransfer-Encoding: chunked"), REFUSED),
    Hostile("chunked and x", coded(b" chunked\r\nTransfer-Encoding: x"), REFUSED),
    Hostile("chunked and identity", coded(b" chunked\r\nTransfer-Encoding: identity"), REFUSED),
    Hostile("identity", coded(b" identity"), REFUSED),
    Hostile("xchunked", coded(b" xchunked"), REFUSED),
    Hostile("chunked after a comma", coded(b" , chunked"), REFUSED),
    Hostile("chunked before a comma", coded(b" chunked,"), REFUSED),
    Hostile("chunked after a vertical tab", coded(b" \x0bchunked"), REFUSED),
    Hostile("chunked in quotes", coded(b' "chunked"'), REFUSED),
    Hostile("chunked with a parameter", coded(b" chunked;x=y"), REFUSED),
    Hostile("chunked on the next line", coded(b"\r\n chunked"), REFUSED),
    Hostile("coding of nothing", coded(b""), REFUSED),
    Hostile("a space before the colon", post(b"Transfer-Encoding : chunked\r\n", CHUNKS), REFUSED),
    Hostile("chunks in HTTP/1.0", post(CHUNKED, CHUNKS + CANARY, b"1.0"), REFUSED),
    Hostile(
        "a coding with an underscore",
        post(b"Transfer_Encoding: chunked\r\nContent-Length: 12\r\n", JOB),
        PASSED_POST,
    ),
]

END = b"\r\n" + JOB + b"\r\n0\r\n\r\n"

CHUNKED_BODIES = [
    Hostile("chunk with zeros", chunks(b"000000000000000000000000c" + END), PASSED_POST),
    Hostile("chunk with an extension", chunks(b'c;a=b;c="d"' + END), PASSED_POST),
    Hostile("trailers", chunks(CHUNKS[:-2] + b"Host: evil.example\r\n\r\n"), PASSED_POST),
    Hostile("chunk with 0x", chunks(b"0xc" + END), REFUSED),
    Hostile("chunk with a sign", chunks(b"+c" + END), REFUSED),
    Hostile("chunk below zero", chunks(b"-c" + END), REFUSED),
    Hostile("chunk after a space", chunks(b" c" + END), REFUSED),
    Hostile("chunk before a space", chunks(b"c " + END), REFUSED),
    Hostile("chunk of nothing", chunks(END), REFUSED),
    Hostile("chunk that is no number", chunks(b"g" + END), REFUSED),
    Hostile("chunk of 64 bits and 12", chunks(b"1000000000000000c" + END), REFUSED),
    Hostile("chunk that ends in LF", chunks(CHUNKS.replace(b"\r\n", b"\n", 1)), REFUSED),
    Hostile("chunk without an end", chunks(b"c\r\n" + JOB + b"0\r\n\r\n"), REFUSED),
    Hostile("chunk with another end", chunks(b"c\r\n" + JOB + b"xx0\r\n\r\n"), REFUSED),
    Hostile("chunk data that ends in LF", chunks(b"c\r\n" + JOB + b"\n0\r\n\r\n"), REFUSED),
    Hostile("LF in an extension", chunks(b"c;a=\nb" + END), REFUSED),
    Hostile("LF ends an extension", chunks(b"c;a\n" + END[2:]), REFUSED),
    Hostile("CR in an extension", chunks(b"c;a=\rb" + END), REFUSED),
    Hostile("last chunk that ends in LF", chunks(b"c\r\n" + JOB + b"\r\n0\n\n" + CANARY), REFUSED),
    Hostile("trailers that end in LF", chunks(CHUNKS[:-2] + b"A: b\n\n" + CANARY), REFUSED),
    Hostile("a length in trailers", chunks(CHUNKS[:-2] + LONG + b"\r\n" + CANARY), REFUSED),
    Hostile("a coding in trailers", chunks(CHUNKS[:-2] + CHUNKED + b"\r\n" + CANARY), REFUSED),
]

HEADERS = [
    Hostile("a header in Latin-1", get(b"X: \xe9\r\n"), PASSED_GET),
    Hostile("a folded header", get(b"X: a\r\n b\r\n"), REFUSED),
    Hostile("a fold at once", b"GET /queues HTTP/1.1\r\n " + HOST + b"\r\n", REFUSED),
    Hostile("lines that end in LF", get(b"X: a\r\n").replace(b"\r\n", b"\n"), REFUSED),
    Hostile("a line that ends in LF", get(b"X: a\nY: b\r\n"), REFUSED),
    Hostile("a head that ends in LF", get()[:-2] + b"\n", REFUSED),
    Hostile("lines that end in CR", get(b"X: a\r\n").replace(b"\r\n", b"\r"), REFUSED),
    Hostile("a line that ends in CR", get(b"X: a\rY: b\r\n"), REFUSED),
    Hostile("a line that ends in CR CR LF", get(b"X: a\r\r\n"), REFUSED),
    Hostile("NUL in a name", get(b"X\0: a\r\n"), REFUSED),
    Hostile("NUL in a value", get(b"X: a\0b\r\n"), REFUSED),
    Hostile("a control in a name", get(b"X\x01: a\r\n"), REFUSED),
    Hostile("a control in a value", get(b"X: a\x01b\r\n"), REFUSED),
    Hostile("a space in a name", get(b"X Y: a\r\n"), REFUSED),
    Hostile("a tab before the colon", get(b"X\t: a\r\n"), REFUSED),
    Hostile("a name of nothing", get(b": a\r\n"), REFUSED),
    Hostile("no colon", get(b"X\r\n"), REFUSED),
    Hostile("no Host", b"GET /queues HTTP/1.1\r\n\r\n", REFUSED),
    Hostile("a Host of nothing", b"GET /queues HTTP/1.1\r\nHost:\r\n\r\n", [421, 404]),
    Hostile("the Host twice", get(HOST), REFUSED),
    Hostile("two Hosts", get(b"Host: evil.example\r\n"), REFUSED),
    Hostile("two keys", get(b"Authorization: Bearer a\r\n" * 2), REFUSED),
    Hostile("a hop that takes the length", get(b"Connection: content-length\r\n"), PASSED_GET),
]

FIRST_LINES = [
    Hostile("a whole address", get(line=b"GET http://localhost/queues HTTP/1.1"), PASSED_GET),
    Hostile("the address of another", get(line=b"GET http://e.example/queues HTTP/1.1"), REFUSED),
    Hostile("an address with a user", get(line=b"GET http://e@localhost/ HTTP/1.1"), REFUSED),
    Hostile("another scheme", get(line=b"GET file://localhost/queues HTTP/1.1"), REFUSED),
    Hostile("an authority", get(line=b"GET localhost:80 HTTP/1.1"), REFUSED),
    Hostile("CONNECT", get(line=b"CONNECT localhost:80 HTTP/1.1") + CANARY, REFUSED),
    Hostile("all paths", get(line=b"OPTIONS * HTTP/1.1"), REFUSED),
    Hostile("a fragment", get(line=b"GET /queues#x HTTP/1.1"), REFUSED),
    Hostile("NUL in the path", get(line=b"GET /queues/\0 HTTP/1.1"), REFUSED),
    Hostile("a control in the path", get(line=b"GET /queues/\x01 HTTP/1.1"), REFUSED),
    Hostile("Latin-1 in the path", get(line=b"GET /queues/\xe9 HTTP/1.1"), REFUSED),
    Hostile("a space in the path", get(line=b"GET /queues/a b HTTP/1.1"), REFUSED),
    Hostile("%00 in the path", get(line=b"GET /queues/%00 HTTP/1.1"), [422, 404]),
    Hostile("a slash in the path", get(line=b"GET /queues%2Fstats HTTP/1.1"), NOT_FOUND),
    Hostile("no code in the path", get(line=b"GET /queues/%zz HTTP/1.1"), NOT_FOUND),
    Hostile("dots in the path", get(line=b"GET /queues/../queues HTTP/1.1"), NOT_FOUND),
    Hostile("hidden dots in the path", get(line=b"GET /x/%2e%2e/queues HTTP/1.1"), NOT_FOUND),
    Hostile("two slashes", get(line=b"GET //queues HTTP/1.1"), NOT_FOUND),
    Hostile("a backslash", get(line=b"GET /queues\\x HTTP/1.1"), NOT_FOUND),
    Hostile("no path", get(line=b"GET  HTTP/1.1"), REFUSED),
    Hostile("a path without its slash", get(line=b"GET queues HTTP/1.1"), REFUSED),
    Hostile("a tab after the method", get(line=b"GET\t/queues HTTP/1.1"), REFUSED),
    Hostile("a space at the end", get(line=b"GET /queues HTTP/1.1 "), REFUSED),
    Hostile("an empty line before", b"\r\n" + get(), PASSED_GET),
    Hostile("NUL before", b"\0" + get(), REFUSED),
    Hostile("a space before", b" " + get(), REFUSED),
    Hostile("a method in small letters", get(line=b"get /queues HTTP/1.1"), REFUSED),
    Hostile("a method of nobody", get(line=b"FROB /queues HTTP/1.1"), REFUSED),
    Hostile("HTTP/0.9", b"GET /queues\r\n", REFUSED),
    Hostile("HTTP/0.9 with headers", b"GET /queues\r\n" + HOST + b"\r\n", REFUSED),
    Hostile("HTTP/1.0", get(line=b"GET /queues HTTP/1.0"), [200]),
    Hostile(
        "HTTP/1.0 that stays",
        get(b"Connection: keep-alive\r\n", b"GET /queues HTTP/1.0"),
        [200],
        requests=2,
    ),
    Hostile("HTTP/1.2", get(line=b"GET /queues HTTP/1.2"), REFUSED),
    Hostile("HTTP/1.10", get(line=b"GET /queues HTTP/1.10"), REFUSED),
    Hostile("HTTP/2.0", get(line=b"GET /queues HTTP/2.0"), REFUSED),
    Hostile("http/1.1", get(line=b"GET /queues http/1.1"), REFUSED),
    Hostile("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", REFUSED),
]

OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"

SOCKET = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
TALK = b"GET /topics/ws?topics=t HTTP/1.1"

TURNS = [
    Hostile("no key of a WebSocket", get(SOCKET.replace(b"Key", b"No"), TALK), [426, 404]),
    Hostile("a WebSocket of old", get(SOCKET.replace(b"13", b"7"), TALK), [426, 404]),
    Hostile("a WebSocket by POST", post(SOCKET + b"Content-Length: 12\r\n", JOB), PASSED_POST),
    Hostile(
        "a WebSocket with a canary",
        get(SOCKET + b"Content-Length: %d\r\n" % len(CANARY), TALK) + CANARY,
        [426, 404],
    ),
    Hostile(
        "a WebSocket with a long line", get(SOCKET + b"X: %b\r\n" % (b"x" * 8200), TALK), [426, 404]
    ),
    Hostile(
        "a WebSocket of nobody", get(SOCKET + b"Sec-WebSocket-Protocol: @@\r\n", TALK), [426, 404]
    ),
    Hostile(
        "a body that is waited for",
        post(b"Expect: 100-continue\r\n" + CHUNKED, CHUNKS),
        PASSED_POST,
    ),
    Hostile("nothing that is waited for", get(b"Expect: 100-continue\r\n"), PASSED_GET),
    Hostile("an offer of HTTP/2", get(OFFER), PASSED_GET),
    Hostile("an offer with a body", post(OFFER + b"Content-Length: 12\r\n", JOB), PASSED_POST),
    Hostile("an offer with chunks", post(OFFER + CHUNKED, CHUNKS), PASSED_POST),
    Hostile("an offer with bad chunks", post(OFFER + CHUNKED, b"xx\r\n" + CANARY), REFUSED),
    Hostile(
        "an offer with a canary",
        get(OFFER + b"Content-Length: %d\r\n" % len(CANARY)) + CANARY,
        PASSED_GET,
    ),
    Hostile("offers one after the other", get(OFFER) * 9, [200] * 9 + [404], requests=9),
    Hostile("a canary after the end", get(b"Connection: close\r\n") + CANARY, [200]),
    Hostile(
        "a canary after an offer that is the end",
        get(OFFER + b"Connection: close\r\n") + CANARY,
        [200],
    ),
    Hostile(
        "another method",
        post(b"X-HTTP-Method-Override: PUT\r\nContent-Length: 12\r\n", JOB),
        PASSED_POST,
    ),
    Hostile("another path", get(b"X-Original-URL: /stats\r\nX-Rewrite-URL: /x\r\n"), PASSED_GET),
    Hostile("one after the other", get() * 50, [200] * 50 + [404], requests=50),
]

CORPUS = [*LENGTHS, *CODINGS, *CHUNKED_BODIES, *HEADERS, *FIRST_LINES, *TURNS]
