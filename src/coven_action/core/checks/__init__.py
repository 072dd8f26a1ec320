"""The repository's own checks, run by us: what they said, what that means, and what the next attempt is told."""
