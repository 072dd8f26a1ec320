"""Tests of the sandbox, against the kernel."""
