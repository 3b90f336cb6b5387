"""What ids and tokens promise."""

import subprocess
import sys
import threading
import time
from uuid import RFC_4122, UUID

from mainspring.ids import new_id, new_ids, new_token


def test_ids_are_uuids_of_version_7() -> None:
    for id in [new_id(), *new_ids(10_000)]:
        assert UUID(bytes=id).version == 7
        assert UUID(bytes=id).variant == RFC_4122


def test_ids_ascend_within_and_across_batches_of_any_size() -> None:
    made = [id for size in (1, 0, 3, 10_000, 1, 5_000) for id in new_ids(size)]
    assert made == sorted(set(made))


def test_an_id_tells_when_it_was_made() -> None:
    before = time.time_ns() // 1_000_000
    millisecond = int.from_bytes(new_id()[:6], "big")
    # Batches made just before may have run ahead of the clock, a millisecond for 4096 ids.
    assert before <= millisecond <= time.time_ns() // 1_000_000 + 1_000


def test_ids_are_unique_over_threads() -> None:
    made: list[bytes] = []
    start = threading.Barrier(8)

    def make() -> None:
        start.wait()
        made.extend(id for _ in range(200) for id in new_ids(7))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 8 * 200 * 7


FORK = """
import os
from mainspring.ids import new_ids
new_ids(10)
child = os.fork() == 0
os.write(1, b"".join(new_ids(100)))
child or os.wait()
"""


def test_a_forked_process_makes_ids_of_its_own() -> None:
    # In a fresh process, because only one without other threads is forked safely.
    made = subprocess.run([sys.executable, "-c", FORK], stdout=subprocess.PIPE, check=True).stdout
    ids = {made[at : at + 16] for at in range(0, len(made), 16)}
    assert len(made) == 2 * 100 * 16
    assert len(ids) == 2 * 100


def test_tokens_are_signed_64_bit_numbers_and_do_not_repeat() -> None:
    tokens = {new_token() for _ in range(10_000)}
    assert len(tokens) == 10_000
    assert all(-(2**63) <= token < 2**63 for token in tokens)
    assert min(tokens) < 0 < max(tokens)
