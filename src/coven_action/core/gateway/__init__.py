"""What passes between an agent and its model: which requests, to which hosts, at which cost. Pure."""
