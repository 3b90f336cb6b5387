"""What comes over a socket before it is a request: TLS, heads and bounds."""
