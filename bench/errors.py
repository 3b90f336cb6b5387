"""Why nothing can be measured."""


class CannotRun(SystemExit):
    """Something is missing or asked for wrongly; the message says what to do."""
