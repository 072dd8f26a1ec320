"""Mutation testing of the rules that decide who may do what: `make mutate`."""
