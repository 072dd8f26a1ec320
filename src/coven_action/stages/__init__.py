"""The four stages: each reads documents, writes one, and is a readable sequence over the ports."""
