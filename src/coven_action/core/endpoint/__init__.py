"""The endpoint's rules and wire format, shared by the runner, the endpoint and the client."""
