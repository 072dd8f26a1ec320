"""Which hosts a configuration may open for a familiar. Pure."""

from coven_action.core.gateway.hosts import is_host_name


def find_host_mistake(name: str) -> str:
    """Return what is wrong with the name of a host that is opened, or ""."""
    if "*" in name:
        return "write every host by its whole name: nobody knows what a pattern will match tomorrow"
    if not is_host_name(name):
        return "write the name alone, in lower-case letters: no scheme, no port, no path and no address"
    return ""
