"""What people run to see it work."""
