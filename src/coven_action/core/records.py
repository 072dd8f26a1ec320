"""The two kinds of frozen value: our own records, which refuse what they do not know, and GitHub's payloads, which grow."""

import hashlib
import json
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A value of ours: frozen, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Payload(BaseModel):
    """A value of GitHub's: frozen, and fields that GitHub adds are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


def canonical_json(value: Any) -> str:
    """Return `value` as JSON with sorted keys and a final newline: equal values give equal bytes.

    Raises:
        ValueError: A number is infinite or none at all, which JSON cannot say.
    """
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def format_time(moment: datetime) -> str:
    """Return a moment in UTC as the documents write it: whole seconds, as in `2026-11-21T12:03:11Z`."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of `data`, 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
