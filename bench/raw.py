"""What bare SQLite does in the same run: the same rows, the same durability, no queue."""

import sqlite3
import tempfile
import time

from bench.app import FILL
from bench.places import ROOT

PAYLOAD = b'{"n":123456,"fill":"%b"}' % FILL.encode()


def bare_inserts(count: int, batch: int) -> float:
    """Rows a second into one plain table, `batch` in a transaction, WAL, synchronous=FULL."""
    with tempfile.TemporaryDirectory(dir=ROOT / ".bench") as folder:
        db = sqlite3.connect(f"{folder}/raw.db", isolation_level=None)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("CREATE TABLE job(number INTEGER PRIMARY KEY, id BLOB, at INT, payload BLOB)")
        row = (None, bytes(16), 0, PAYLOAD)
        start = time.perf_counter()
        for _ in range(count // batch):
            db.execute("BEGIN IMMEDIATE")
            db.executemany("INSERT INTO job VALUES(?,?,?,?)", [row] * batch)
            db.execute("COMMIT")
        took = time.perf_counter() - start
        db.close()
    return count / took
