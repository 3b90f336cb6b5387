"""What can go wrong in a run: nothing can be measured at all, or one rival fell over."""


class CannotRun(Exception):
    """Something is missing or asked for wrongly; the message says what to do."""


class RivalFailed(Exception):
    """A rival's own process ended or stood still where it should have worked."""
