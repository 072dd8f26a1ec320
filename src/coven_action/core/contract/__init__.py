"""The contract with a runtime: briefs out, results in, and which program speaks which version."""
