"""What engines that keep jobs in tables share."""
