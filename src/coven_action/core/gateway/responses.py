"""Which answers of a model's host are passed on, and with which headers. Pure.

An answer that spends tokens is JSON or a stream of events, plain: anything else could neither be counted nor searched for
the key. A redirect is an answer of its own kind: following it would carry the key elsewhere, passing it on would make the
agent's client try.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from coven_action.core.gateway.refusals import Refused

JSON: Final = "application/json"
EVENTS: Final = "text/event-stream"
_MAX_VALUE: Final = 1024

# Nothing here says who pays; `set-cookie` would make the agent's next request carry something of the host's.
_FORWARDED: Final = re.compile(
    rb"retry-after(?:-ms)?|(?:x-)?request-id|anthropic-ratelimit-[a-z-]+|x-ratelimit-[a-z-]+|openai-processing-ms"
    rb"|x-should-retry"
)
_LENGTH: Final = re.compile(rb"[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What of an answer's head is passed on.

    Attributes:
        status: As the host gave it.
        kind: The media type, without parameters.
        length: Bytes of the body where the host announced them.
        headers: Everything that is passed on but for the framing.
    """

    status: int
    kind: str
    length: int | None
    headers: tuple[tuple[bytes, bytes], ...]

    @property
    def is_success(self) -> bool:
        """Whether tokens were spent."""
        return 200 <= self.status < 300  # noqa: PLR2004 - the statuses of success

    @property
    def is_streamed(self) -> bool:
        """Whether the body is a stream of events."""
        return self.kind == EVENTS


def read_answer(status: int, headers: Iterable[tuple[bytes, bytes]], *, max_bytes: int) -> Answer:
    """Return what is passed on of an answer.

    Args:
        status: Of the final answer.
        headers: As the host sent them.
        max_bytes: More is not passed on.

    Raises:
        Refused: `upstream-redirect`, `upstream-answer` or `upstream-too-large`.
    """
    pairs = [(name.lower(), value.strip()) for name, value in headers]
    fields: Mapping[bytes, bytes] = dict(pairs)
    if 300 <= status < 400:  # noqa: PLR2004 - the statuses of redirects
        raise Refused("upstream-redirect")
    kind = fields.get(b"content-type", b"").split(b";")[0].strip().lower().decode("latin-1")
    plain = fields.get(b"content-encoding", b"identity").lower() == b"identity"
    if not 200 <= status < 600 or not plain or kind not in {JSON, EVENTS}:  # noqa: PLR2004 - the final statuses
        raise Refused("upstream-answer")
    length = int(fields[b"content-length"]) if _LENGTH.fullmatch(fields.get(b"content-length", b"")) else None
    if length is not None and length > max_bytes:
        raise Refused("upstream-too-large")
    kept = tuple(pair for pair in pairs if _FORWARDED.fullmatch(pair[0]) and len(pair[1]) <= _MAX_VALUE)
    return Answer(status, kind, length, ((b"content-type", kind.encode()), *kept))
