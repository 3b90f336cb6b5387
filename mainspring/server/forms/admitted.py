"""Admitted: values of the library's own that come ready-made, held against what its face allows.

A program that brings a job by the store's verb has passed no options on its way: nothing may come
in by this door that would not by the other.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from mainspring import patterns
from mainspring.cells import OWN, Add, Put
from mainspring.codec import RAW
from mainspring.durations import DAY, LATEST
from mainspring.errors import InvalidArguments, PayloadTooLarge
from mainspring.job import HIGHEST_PRIORITY, LOWEST_PRIORITY, NewJob, Policy, State, Transition
from mainspring.kv import key_of
from mainspring.options import LATEST_VERSION, LONGEST_KEY, headers_of, text, texts
from mainspring.retry import MOST_RETRIES
from mainspring.store import Grant
from mainspring.verbs import MOST_NAMED, encode

MOST_CLAIMED, MOST_SLOTS = 1000, 100_000

LIMITS = {"reclaim": 1000, "upkeep": 1000, "posts": 1000, "logs": 100_000}
"""What some verbs may be asked for at most; others end their answers by themselves."""

NAMED = ("get", "kv_get")
"""Verbs of which each thing that is named may be large."""

LONGEST_TEXT = 200_000
"""Characters: more than the library makes of what a job says, or of why it failed."""

LARGEST_PRESENCE = 1_000_000
"""Bytes of what a worker tells of itself."""

BEYOND = 2**63

LONGEST_LEASE = 7 * DAY

ENDS = frozenset(State) - {State.RUNNING, State.BLOCKED}
"""Where an attempt can lead."""


def arguments(verb: str, given: Mapping[str, Any], largest: int) -> None:
    """`InvalidArguments` for arguments of the verb that the library itself would not have given;
    `PayloadTooLarge` for a payload beyond so many bytes."""
    if given.get("now") is not None:
        raise InvalidArguments("now: expected none, since the store has clocks of its own")
    _wanted(verb, given)
    _brought(given, largest)


def _wanted(verb: str, given: Mapping[str, Any]) -> None:
    for what in ("ids", "keys"):
        named = given.get(what, ())
        if len(set(named)) < len(named):  # an answer may be a million times what names it
            raise InvalidArguments(f"{what}: expected each of them once")
        if verb in NAMED:
            _within(f"how many {what}", len(named), 0, MOST_NAMED)
    if (wish := given.get("claim")) is not None:
        _grant(wish.grant)
        _within("limit", wish.limit, 0, MOST_CLAIMED)
        _within("slots", wish.slots, 0, MOST_SLOTS)
        _within("alone", wish.alone, 0, MOST_CLAIMED)
    if "grant" in given:
        _grant(given["grant"])
    if "lease" in given:
        _within("lease", given["lease"], 1, LONGEST_LEASE)
    if "limit" in given:
        _within("limit", given["limit"], 0, LIMITS.get(verb, BEYOND - 1))
    if given.get("ttl") is not None:
        _within("ttl", given["ttl"], 1, LATEST)


def _brought(given: Mapping[str, Any], largest: int) -> None:
    for new in given.get("jobs", ()):
        job(new, largest)
    for dossier in given.get("dossiers", ()):
        job(dossier.job, largest)
    for post in given.get("new", ()):
        patterns.topic(post.topic)
        headers_of(post.headers, "headers")
        _payload(post.body, f"topic {post.topic!r}", largest)
    for put in given.get("puts", ()):
        _entry(put)
        _payload(put.value, f"key {put.key!r}", largest)
    for add in given.get("adds", ()):
        _entry(add)
    if "presence" in given:
        size = len(encode(given["presence"]))
        _within("bytes of a worker's presence", size, 0, LARGEST_PRESENCE)
    for note in given.get("notes", ()):
        _within("characters of a note", len(note.text), 0, LONGEST_TEXT)
    for end in given.get("transitions", ()):
        _transition(end)


def job(new: NewJob[Any], largest: int) -> None:
    """`InvalidArguments` unless the library could have made this job; `PayloadTooLarge`."""
    if len(new.id) != 16:
        raise InvalidArguments(f"id: expected 16 bytes, got {len(new.id)}")
    _names(new.task, new.queue)
    _within("priority", new.priority, LOWEST_PRIORITY, HIGHEST_PRIORITY)
    for what in ("delay", "run_at", "expires", "unique_for"):
        if value := getattr(new, what):
            _within(what, value, 0, LATEST)
    for what in ("key", "unique", "label"):
        if (value := getattr(new, what)) is not None:
            text(value, what, LONGEST_KEY)
    if any(len(edge.parent) != 16 for edge in new.edges):
        raise InvalidArguments("depends_on: expected ids of 16 bytes")
    if new.headers:
        headers_of(new.headers, "headers")
    if new.tags:
        texts(new.tags, "tags")
    _policy(new.policy)
    _payload(new.payload, new.task, largest)


@lru_cache(1024)
def _names(task: str, queue: str) -> None:
    text(task, "task")
    text(queue, "queue")


@lru_cache(1024)
def _policy(policy: Policy) -> None:
    retry = policy.retry
    _within("max_retries", retry.max_retries, 0, MOST_RETRIES)
    _within("version", policy.version, 1, LATEST_VERSION)
    _within("max_delay", retry.max_delay, 0, 30 * DAY)
    if not 1 <= retry.factor <= 100:
        raise InvalidArguments(f"factor: expected 1 to 100, got {retry.factor!r}")
    if (retry.kind == "list") != bool(retry.delays):
        raise InvalidArguments(f"backoff: expected delays for a list, got {retry.delays!r}")
    for what, value in (("timeout", policy.timeout), ("keep_result", policy.keep)):
        if value is not None:
            _within(what, value, 0, LATEST)
    for value in (retry.base, *retry.delays):
        _within("backoff", value, 0, LATEST)


def _payload(data: bytes, what: str, largest: int) -> None:
    if len(data) > largest:
        raise PayloadTooLarge(
            f"{what}: expected a payload of at most {largest:,} bytes, got {len(data):,}"
        )
    if data[:1] != RAW:
        try:
            msgspec.json.decode(data)
        except (ValueError, RecursionError) as error:
            raise InvalidArguments(f"{what}: expected a payload of JSON: {error}") from None


def _entry(wanted: Put | Add) -> None:
    if not wanted.key.startswith(OWN):  # that is refused to everybody, in words of its own
        key_of(wanted.key)
    if wanted.ttl is not None:
        _within("ttl", wanted.ttl, 1, LATEST)
    if isinstance(wanted, Add):
        _within("by", wanted.by, -BEYOND, BEYOND - 1)
    elif wanted.expected is not None:
        _within("expected", wanted.expected, 0, BEYOND - 1)


def _transition(end: Transition) -> None:
    if end.to not in ENDS:
        raise InvalidArguments(f"expected a state that follows an attempt, got {end.to}")
    _within("delay", end.delay, 0, LATEST)
    _within("took", end.took, 0, LATEST)
    _within("losses", end.losses, 0, MOST_RETRIES)
    error = end.error
    said = (error.message, error.traceback) if error else ()
    length = sum(map(len, (end.reason or "", *said)))
    _within("characters of an error", length, 0, LONGEST_TEXT)


def _grant(wanted: Grant) -> None:
    text(wanted.worker, "worker")
    _within("lease", wanted.lease, 1, LONGEST_LEASE)


def _within(what: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise InvalidArguments(f"{what}: expected {least:,} to {most:,}, got {value:,}")
