"""What is told to those who watch a worker from outside."""
