"""mainspring: a durable task queue for Python."""
