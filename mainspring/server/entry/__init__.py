"""What every request passes: who asks, from where, how often, and what that takes."""
