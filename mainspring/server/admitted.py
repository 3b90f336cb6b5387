"""Admitted: values of the library's own that come ready-made, held against what its face allows.

A program that brings a job by the store's verb has passed no options on its way: nothing may come
in by this door that would not by the other.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from mainspring import patterns
from mainspring.codec import RAW
from mainspring.durations import DAY, LATEST
from mainspring.errors import InvalidArguments, PayloadTooLarge
from mainspring.job import HIGHEST_PRIORITY, LOWEST_PRIORITY, NewJob, Policy, State, Transition
from mainspring.options import LATEST_VERSION, LONGEST_KEY, headers_of, text, texts
from mainspring.retry import MOST_RETRIES
from mainspring.store import Grant

MOST_AT_ONCE = 100_000
"""Of what a call asks for by the number."""

LONGEST_LEASE = 7 * DAY

ENDS = frozenset(State) - {State.RUNNING, State.BLOCKED}
"""Where an attempt can lead."""


def arguments(given: Mapping[str, Any], largest: int) -> None:
    """`InvalidArguments` for arguments of a verb that the library itself would not have given;
    `PayloadTooLarge` for a payload beyond so many bytes."""
    if given.get("now") is not None:
        raise InvalidArguments("now: expected none, since the store has clocks of its own")
    for what in ("ids", "keys"):
        named = given.get(what, ())
        if len(set(named)) < len(named):  # an answer may be a million times what names it
            raise InvalidArguments(f"{what}: expected each of them once")
    for new in given.get("jobs", ()):
        job(new, largest)
    for dossier in given.get("dossiers", ()):
        job(dossier.job, largest)
    for post in given.get("new", ()):
        patterns.topic(post.topic)
        headers_of(post.headers, "headers")
        _payload(post.body, f"topic {post.topic!r}", largest)
    for end in given.get("transitions", ()):
        _transition(end)
    if (wish := given.get("claim")) is not None:
        _grant(wish.grant)
        for what in ("limit", "slots", "alone"):
            _within(what, getattr(wish, what), 0, MOST_AT_ONCE)
    if "grant" in given:
        _grant(given["grant"])
    if "lease" in given:
        _within("lease", given["lease"], 1, LONGEST_LEASE)
    if "limit" in given:
        _within("limit", given["limit"], 0, MOST_AT_ONCE)


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


def _transition(end: Transition) -> None:
    if end.to not in ENDS:
        raise InvalidArguments(f"expected a state that follows an attempt, got {end.to}")
    _within("delay", end.delay, 0, LATEST)
    _within("took", end.took, 0, LATEST)
    _within("losses", end.losses, 0, MOST_RETRIES)


def _grant(wanted: Grant) -> None:
    text(wanted.worker, "worker")
    _within("lease", wanted.lease, 1, LONGEST_LEASE)


def _within(what: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise InvalidArguments(f"{what}: expected {least:,} to {most:,}, got {value:,}")
