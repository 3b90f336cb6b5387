"""All that a worker does with its store, and the threads that do it."""
