"""The endpoint: opt-in memory, task history, audit and usage, tenant by tenant."""
