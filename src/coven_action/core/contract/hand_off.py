"""Read the files that an agent leaves for us in its workspace. Pure: bytes in, values and notes out; all of it hostile."""

import re
from typing import Final

from coven_action.core.documents import HandOff

HAND_OFF_FOLDER: Final = ".coven/handoff"
PULL_REQUEST_FILE: Final = "pull-request.md"
HAND_OFF_LIMIT: Final = 64 * 1024
# What a runtime keeps for itself or leaves for us; none of it is part of the change.
UNPUBLISHED_FOLDERS: Final = (".coven", ".coven-code")

# The signs of a Markdown heading; a title such as `#42 again` is none.
_HEADING: Final = re.compile(r"^#{1,6}(?:[ \t]+|\Z)")


def parse_pull_request_hand_off(data: bytes | None) -> tuple[HandOff, tuple[str, ...]]:
    """Return title (first line) and body (the rest) of `pull-request.md`, and notes about what could not be used."""
    if data is None:
        return HandOff(), ()
    if len(data) > HAND_OFF_LIMIT:
        return HandOff(), (f"{PULL_REQUEST_FILE} has more than {HAND_OFF_LIMIT} bytes and was left aside",)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return HandOff(), (f"{PULL_REQUEST_FILE} is not UTF-8 and was left aside",)
    title, _, body = text.strip().partition("\n")
    return HandOff(title=_HEADING.sub("", title.strip()), body=body.strip()), ()
