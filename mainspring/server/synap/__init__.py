"""Synap's wire: its commands and REST paths over the same app, for programs that speak it."""
