"""What is decided in a worker: what to claim, who gets it, what became of it, when to stop."""
