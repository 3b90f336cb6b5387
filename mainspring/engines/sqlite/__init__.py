"""The SQLite engine: one file, the standard library's driver, WAL, one writer per process."""
