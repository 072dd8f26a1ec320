"""Shells: one outside thing each, no rules, never importing one another."""
