"""What a configuration may name as its endpoint, beyond the form of the text. Pure."""

import re
from typing import Final
from urllib.parse import urlsplit

LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
RUN_PLACE: Final = "{run}"
"""Stands for the run's number in `oversight_url`."""

_PLAIN: Final = re.compile(r"https?://[\x21-\x5b\x5d-\x7e]+")


def is_plain_url(url: str) -> bool:
    r"""Return whether a URL is https, or http to this machine, and names a host and nothing secret.

    Two readers of one text must not find two hosts: what the standard library removes or reads leniently (white space,
    control characters, `\\`, other letters than ASCII) is in none. A name and a password before the host would be in the
    repository for everybody to read.
    """
    if not _PLAIN.fullmatch(url):
        return False
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return False
    named = bool(host) and "@" not in parts.netloc and not parts.netloc.endswith(":") and port != 0
    return named and (parts.scheme == "https" or host in LOOPBACK)


def find_endpoint_mistake(url: str) -> str:
    """Return what is wrong with the endpoint's address, or "".

    It is compared letter by letter with the audience of a token, so there is one way to write it.
    """
    if not is_plain_url(url):
        return "write https:// and a host; http:// is taken for this machine only"
    if "?" in url or "#" in url:
        return "write it without ? and #: the endpoint's routes are added to it"
    if url.endswith("/"):
        return "write it without the slash at the end: it is also the audience of the ID tokens"
    if url != url.replace(urlsplit(url).netloc, urlsplit(url).netloc.lower(), 1):
        return "write the host in lower-case letters: it is also the audience of the ID tokens"
    return ""


def find_oversight_mistake(url: str) -> str:
    """Return what is wrong with the address where people look at a run, or ""."""
    if not is_plain_url(url):
        return "write https:// and a host; http:// is taken for this machine only"
    if url.count(RUN_PLACE) != 1 or re.search(r"[{}]", url.replace(RUN_PLACE, "")):
        return "write {run} once, where the run's number stands"
    return ""


def render_oversight_url(url: str, number: int) -> str:
    """Return the address of a run's page."""
    return url.replace(RUN_PLACE, str(number))
