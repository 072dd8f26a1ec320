"""Workflow files: read, checked, and written for the people who copy them."""
