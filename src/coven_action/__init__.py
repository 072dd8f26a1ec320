"""Coven Action: a coding familiar that works inside your own GitHub Actions runners."""

__version__ = "0.1.0"
