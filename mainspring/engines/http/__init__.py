"""The HTTP engine: a store behind a mainspring server, for programs that cannot reach it itself."""
