"""What a change touches, and whether it may be published."""
