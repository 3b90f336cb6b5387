"""The server: a store over HTTP. `app.asgi()` and `mainspring serve` are the ways in."""
