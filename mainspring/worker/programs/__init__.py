"""Jobs that a command handles, one process for each."""
