"""What comes, read into values, and what goes out, made of them."""
