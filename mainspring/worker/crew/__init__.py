"""The processes in which jobs run, as their parent sees them."""
