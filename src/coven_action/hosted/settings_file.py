"""Read an endpoint's settings from a TOML file. What is wrong in it is told with its line, before anything is started."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from coven_action.core.endpoint.caps import Caps
from coven_action.errors import EnvironmentFault
from coven_action.hosted.settings import Settings

MAX_BYTES: Final = 256 * 1024
_TABLE: Final = re.compile(r"\s*\[\[?\s*([A-Za-z0-9_\-.\s\"']+?)\s*\]\]?\s*(#.*)?")
_KEY: Final = re.compile(r"\s*([A-Za-z0-9_\-.\s\"']+?)\s*=")
_UNKNOWN: Final = "extra_forbidden"


def read_settings_file(path: Path) -> dict[str, Any]:
    """Return what a file says, by the names of `Settings`.

    Raises:
        EnvironmentFault: `invalid-setting`: it cannot be read, is no TOML, or has a key or value that is none.
    """
    text = _read(path)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise EnvironmentFault("invalid-setting", f"The file is no TOML: {error}.", place=str(path)) from error
    try:
        settings = Settings.model_validate(document, strict=False)
    except ValidationError as error:
        found: Mapping[str, Any] = error.errors(include_url=False, include_input=False)[0]
        raise _explain(path, text, found) from error
    return {name: getattr(settings, name) for name in settings.model_fields_set}


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise EnvironmentFault("invalid-setting", f"The file is larger than {MAX_BYTES} bytes.", place=str(path))
        return content.decode()
    except OSError as error:
        raise EnvironmentFault(
            "invalid-setting", f"The file cannot be read: {error.strerror}.", place=str(path)
        ) from error
    except UnicodeDecodeError as error:
        raise EnvironmentFault("invalid-setting", "The file is no UTF-8.", place=str(path)) from error


def _explain(path: Path, text: str, found: Mapping[str, Any]) -> EnvironmentFault:
    keys = tuple(str(part) for part in found["loc"])
    line = find_line(text, keys)
    place = str(path) if line is None else f"{path}:{line}"
    if found["type"] != _UNKNOWN:
        # What follows the key itself names only which of several kinds was tried.
        return EnvironmentFault("invalid-setting", f"{'.'.join(_cut(keys))}: {found['msg']}.", place=place)
    known = _list_known(keys[:-1])
    return EnvironmentFault(
        "invalid-setting",
        f"There is no setting {'.'.join(keys)}.",
        place=place,
        remedy=f"There are: {', '.join(known)}.",
    )


def _cut(keys: tuple[str, ...]) -> tuple[str, ...]:
    return keys[:3] if keys[0] == "tiers" else keys[:1]


def _list_known(table: tuple[str, ...]) -> list[str]:
    """Return the keys that a table may have."""
    if not table:
        return list(Settings.model_fields)
    if len(table) == 1:
        return list(type(Settings().tiers).model_fields)
    return list(Caps.model_fields)


def find_line(text: str, keys: tuple[str, ...]) -> int | None:
    """Return the line on which a key stands, or else the one of the table that holds it; None where neither is found."""
    lines: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _TABLE.fullmatch(line):
            table = _split(header[1])
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            lines.setdefault((*table, *_split(key[1])), number)
    return next((lines[keys[:length]] for length in range(len(keys), 0, -1) if keys[:length] in lines), None)


def _split(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))
