"""Patches in the text of an issue: found, explained, and read as unified diffs."""
