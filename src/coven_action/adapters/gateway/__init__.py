"""The gateway to the model: a process of its own that holds the key, and our end of it."""
