"""Which hosts may be reached, and at which addresses. Pure: names and addresses in, an answer out.

A name is compared as a whole, in lower case, with the names that are allowed; there is no wildcard. An address is public,
or it is refused: a name of the allow-list may be made to lead into the runner's network, to the runner itself, or to the
service that hands out a machine's credentials.
"""

import ipaddress
import re
from collections.abc import Collection
from typing import Final

from coven_action.core.gateway.refusals import Refused

TLS_PORT: Final = 443
UNREADABLE: Final = "(unreadable)"

_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# The last label may not begin with a digit: `127.1`, `0x7f.1` and `2130706433` are addresses to a resolver.
_NAME: Final = re.compile(rf"(?=.{{1,253}}\Z)(?:{_LABEL}\.)*(?=[a-z]){_LABEL}")
_AUTHORITY: Final = re.compile(r"([A-Za-z0-9.-]{1,253}):([0-9]{1,5})")
_SHOWN: Final = re.compile(r"[A-Za-z0-9.:\[\]_-]{1,253}")
_LOOPBACK: Final = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]{1,5})?", re.IGNORECASE)

# What `is_global` of one version of Python or another calls public, and leads to the machine or its surroundings: clouds'
# own services (https://learn.microsoft.com/en-us/azure/virtual-network/what-is-ip-address-168-63-129-16), and
# https://www.iana.org/assignments/iana-ipv4-special-registry and iana-ipv6-special-registry.
_NOT_PUBLIC: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("0.0.0.0/8", "100.64.0.0/10", "168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15"),
        *("100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16", "fec0::/10"),
    )
)
# IPv6 forms that carry an IPv4 address in their last four bytes: RFC 6052 (NAT64), RFC 4291 (compatible, mapped).
_CARRIERS: Final = tuple(
    ipaddress.IPv6Network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "::/96", "::ffff:0:0/96")
)


def is_host_name(text: str) -> bool:
    """Whether a text is a host name in the form that is compared: ASCII, lower case, no final dot, no address."""
    return _NAME.fullmatch(text) is not None


def show_host(text: str) -> str:
    """Return a host as it may stand in a report: what an agent wrote there may be anything."""
    return text.lower() if _SHOWN.fullmatch(text) else UNREADABLE


def verify_tunnel_target(target: str, allowed: Collection[str]) -> str:
    """Return the host of a CONNECT request.

    Args:
        target: The request target, `host:port`.
        allowed: The names that may be reached.

    Raises:
        Refused: `host-not-allowed`: another name, another port, an address, or no authority at all.
    """
    found = _AUTHORITY.fullmatch(target)
    host, port = (found[1].lower(), found[2]) if found else ("", "")
    if host not in allowed or port != str(TLS_PORT):
        raise Refused("host-not-allowed", host=target)
    return host


def check_host_header(value: str, model_host: str) -> None:
    """Refuse a request that means another host than the gateway or the model's.

    A client inside the sandbox names the loopback address at which the relay listens. Another name says that something
    tried to send it elsewhere.

    Raises:
        Refused: `host-not-allowed`.
    """
    if not _LOOPBACK.fullmatch(value) and value.lower() not in {model_host, f"{model_host}:{TLS_PORT}"}:
        raise Refused("host-not-allowed", host=value)


def is_public_address(text: str) -> bool:
    """Whether an address is one of the public internet. What cannot be read is not."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        carried = _find_carried(address)
        if carried is not None:
            return _is_public(carried)
    return _is_public(address)


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    return not any(address in network for network in _NOT_PUBLIC)


def _find_carried(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address to which a translator would send what is sent to this one."""
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if any(address in network for network in _CARRIERS):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None
