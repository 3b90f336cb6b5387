"""What parent and child say and leave to each other."""
