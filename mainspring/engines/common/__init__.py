"""What engines share: the form of what they keep, and what is done before it reaches them."""
