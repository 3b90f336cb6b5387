"""Where user code runs; what becomes of a job is decided here, and written by the parent."""
