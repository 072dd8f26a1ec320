"""Read what an agent says about memory: `.coven/handoff/memory.jsonl`, one JSON object a line. Pure; all of it is hostile.

A line is a proposal or a use. Here only the form is read, within bounds; what a line is worth is judged by `judging.py`
in a later stage, which gets these values from a document that the agent may have forged and reads the bounds again.
"""

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError

from coven_action.core.memory.entries import MAX_CITATIONS, MAX_LINE_NUMBER, EntryKind
from coven_action.core.records import Record
from coven_action.core.strict_json import StrictJSONError, parse_json_object

MEMORY_HAND_OFF_FILE: Final = "memory.jsonl"
"""Its name in the hand-off folder."""

MAX_HAND_OFF_BYTES: Final = 64 * 1024
MAX_LINES: Final = 50
MAX_JSON_DEPTH: Final = 4
MAX_PROPOSED_CHARACTERS: Final = MAX_HAND_OFF_BYTES
MAX_WHY: Final = 500
_MAX_NAME: Final = 400

_LineNumber = Annotated[int, Field(ge=1, le=MAX_LINES)]
_FileLine = Annotated[int, Field(ge=1, le=MAX_LINE_NUMBER)]
_Why = Annotated[str, Field(max_length=MAX_WHY)]


class ProposedCitation(Record):
    """Lines that the agent says show what it proposes."""

    path: Annotated[str, Field(max_length=_MAX_NAME)]
    start: _FileLine
    end: _FileLine


class Proposal(Record):
    """An entry that the agent would like to see remembered, by its place among the lines that say something."""

    line: _LineNumber
    key: Annotated[str, Field(max_length=_MAX_NAME)]
    kind: EntryKind
    text: Annotated[str, Field(max_length=MAX_PROPOSED_CHARACTERS)]
    citations: Annotated[tuple[ProposedCitation, ...], Field(max_length=MAX_CITATIONS, strict=False)] = ()
    why: _Why = ""


class Use(Record):
    """An entry that the agent says influenced its work, by its place among the lines that say something."""

    line: _LineNumber
    used: Annotated[str, Field(max_length=_MAX_NAME)]
    why: _Why = ""


class HandOffFault(Record):
    """A line, or the whole file, that cannot be read. Line 0 is the file."""

    line: Annotated[int, Field(ge=0, le=MAX_LINES)]
    reason: Literal["malformed", "too_large", "too_many", "secret"]
    sentence: Annotated[str, Field(max_length=300)]


class MemoryHandOff(Record):
    """What the file says, in its order."""

    proposals: Annotated[tuple[Proposal, ...], Field(max_length=MAX_LINES)] = ()
    uses: Annotated[tuple[Use, ...], Field(max_length=MAX_LINES)] = ()
    faults: Annotated[tuple[HandOffFault, ...], Field(max_length=MAX_LINES + 1)] = ()

    def without_proposals(self) -> "MemoryHandOff":
        """Return the same uses and faults, for where nobody could look at what is proposed."""
        return MemoryHandOff(uses=self.uses, faults=self.faults)


def parse_memory_hand_off(data: bytes | None) -> MemoryHandOff:
    """Return the file's proposals, uses and faults. Never raises.

    Args:
        data: Its content, read without following links, at most `MAX_HAND_OFF_BYTES` + 1 bytes; None where there is none.
    """
    if data is None:
        return MemoryHandOff()
    if len(data) > MAX_HAND_OFF_BYTES:
        sentence = f"the file has more than {MAX_HAND_OFF_BYTES // 1024} KiB and was left aside"
        return MemoryHandOff(faults=(HandOffFault(line=0, reason="too_large", sentence=sentence),))
    lines = [line for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip()]
    read = [_parse_line(number, line) for number, line in enumerate(lines[:MAX_LINES], 1)]
    faults = [item for item in read if isinstance(item, HandOffFault)]
    if len(lines) > MAX_LINES:
        sentence = f"the file has {len(lines)} lines; the first {MAX_LINES} were read"
        faults.append(HandOffFault(line=0, reason="too_many", sentence=sentence))
    return MemoryHandOff(
        proposals=tuple(item for item in read if isinstance(item, Proposal)),
        uses=tuple(item for item in read if isinstance(item, Use)),
        faults=tuple(faults),
    )


def drop_secrets(hand_off: MemoryHandOff, finds: Callable[[str], bool]) -> MemoryHandOff:
    """Return the hand-off without the lines that hold a secret; each becomes a fault that does not repeat it.

    Args:
        hand_off: As read.
        finds: Whether a text holds a secret, as far as the stage which reads the file can know.
    """
    items: tuple[Proposal | Use, ...] = (*hand_off.proposals, *hand_off.uses)
    spoiled = frozenset(item.line for item in items if any(finds(text) for text in _iterate_texts(item)))
    return MemoryHandOff(
        proposals=tuple(item for item in hand_off.proposals if item.line not in spoiled),
        uses=tuple(item for item in hand_off.uses if item.line not in spoiled),
        faults=(
            *hand_off.faults,
            *(HandOffFault(line=line, reason="secret", sentence="the line holds a secret") for line in sorted(spoiled)),
        ),
    )


def _iterate_texts(item: Proposal | Use) -> Iterator[str]:
    if isinstance(item, Use):
        yield from (item.used, item.why)
    else:
        yield from (item.key, item.text, item.why, *(citation.path for citation in item.citations))


def _parse_line(number: int, line: bytes) -> Proposal | Use | HandOffFault:
    try:
        document = parse_json_object(line, max_bytes=MAX_HAND_OFF_BYTES, max_depth=MAX_JSON_DEPTH)
    except StrictJSONError as error:
        return HandOffFault(line=number, reason="malformed", sentence=f"line {number}: {error}")
    return _build_item(number, document)


def _build_item(number: int, document: dict[str, Any]) -> Proposal | Use | HandOffFault:
    # `line` is ours: a line that brings its own would be two statements about where it stands.
    model: type[Proposal | Use] = Use if "used" in document else Proposal
    if "line" not in document:
        try:
            return model.model_validate({**document, "line": number})
        except ValidationError as error:
            first = error.errors()[0]
            field = first["loc"][0] if first["loc"][0] in model.model_fields else "a key"
            sentence = f"line {number}: {field}: {first['msg']}"
            return HandOffFault(line=number, reason="malformed", sentence=sentence)
    return HandOffFault(line=number, reason="malformed", sentence=f"line {number}: `line` is no key of a hand-off")
