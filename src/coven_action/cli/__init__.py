"""The commands: the one place that builds adapters, and the one error boundary."""
