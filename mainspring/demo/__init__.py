"""The demonstration: a real pipeline over the source files of a tree, from one SQLite file."""
