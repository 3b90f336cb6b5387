"""What a caller may do, and what it gets to see."""
