"""Cover secrets in the texts inside a document, each by itself, before anything is made of them.

Pure. What a text is rendered into can hide a secret from a later search: JSON writes a line break as two letters, a
quotation begins each line with a sign, and a value that was split there stands whole in neither. So the parts are covered
first, and whatever is composed of them is covered again as a whole.
"""

from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import ValidationError

from coven_action.core.records import Record, canonical_json
from coven_action.core.redaction.redactor import Redacted, Redactor

R = TypeVar("R", bound=Record)


class CoverDoesNotFit(ValueError):
    """Raised when the mark that covers a secret does not fit where the secret stood, by its length or its form."""


def redact_values(value: Any, redactor: Redactor) -> Any:
    """Return a value of JSON with every text in it covered, the names of fields included."""
    if isinstance(value, str):
        return str(redactor.redact(value))
    if isinstance(value, dict):
        return {redact_values(name, redactor): redact_values(item, redactor) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_values(item, redactor) for item in value]
    return value


def redact_record(record: R, redactor: Redactor) -> R:
    """Return a copy of a document with every text in it covered.

    Raises:
        CoverDoesNotFit: A text that was covered is none of its kind any more.
    """
    covered = canonical_json(redact_values(record.model_dump(mode="json"), redactor))
    try:
        return type(record).model_validate_json(covered)
    except ValidationError as error:
        # The library's own words repeat what was refused.
        places = sorted({".".join(map(str, each["loc"])) for each in error.errors(include_input=False)})
        message = f"there is no room for what covers a secret: {', '.join(places)}"
        raise CoverDoesNotFit(message) from None


def render_redacted(record: Record, redactor: Redactor) -> Redacted:
    """Return a document as it may leave: its texts covered, and the whole once more."""
    return redactor.redact(canonical_json(redact_values(record.model_dump(mode="json"), redactor)))


def find_kinds(value: Any, redactor: Redactor) -> frozenset[str]:
    """Return the kinds of secrets in the texts of a value of JSON, the names of fields included."""
    return frozenset(finding.kind for text in _iterate_texts(value) for finding in redactor.find(text))


def _iterate_texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _iterate_texts(name)
            yield from _iterate_texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _iterate_texts(item)
