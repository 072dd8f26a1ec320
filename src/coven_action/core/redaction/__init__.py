"""Secrets: found in every listed shape and encoding, and covered before anything leaves."""
