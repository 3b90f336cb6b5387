"""The worker: a parent that does the queue's I/O, and places where jobs run."""
