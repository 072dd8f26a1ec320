"""A local GitHub, good enough for the demo and the tests."""
