"""The Redis engine: one store under one hash tag of a Redis or Valkey server."""
