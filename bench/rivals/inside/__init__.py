"""What runs inside the environments of the rivals; imports nothing from outside this folder."""
