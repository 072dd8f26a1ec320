"""Finds the tools of this machine that a confined program may use; which ones these are is decided by the core."""

import contextlib
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from coven_action.adapters.sandbox.outside import list_homes
from coven_action.core.sandbox.request import Machine
from coven_action.core.sandbox.toolchains import (
    SECRET_NAMES,
    Folder,
    Surroundings,
    Tools,
    choose_tools,
    is_harmless_configuration,
    list_places,
)

CONFIGURATION_CHARACTERS: Final = 64 * 1024
"""A clone's configuration that is longer is not looked at, and counts as one with a credential."""


def find_tools(environ: Mapping[str, str], machine: Machine, closed: Collection[Path] = ()) -> Tools:
    """Return the folders and variables by which a job's tools exist in a sandbox.

    Args:
        environ: The job's variables, as the runner gave them.
        machine: Its system folders exist in every sandbox.
        closed: Folders of ours, which no confined program may look into.
    """
    homes, own = list_homes(environ), [str(path) for path in closed]
    surroundings = Surroundings(
        folders=_look_at(list_places(environ, homes, own)),
        homes=tuple(homes),
        system=(*machine.folders, *(path for path, _ in machine.links)),
        closed=tuple(own),
    )
    return choose_tools(environ, surroundings)


def _look_at(paths: Collection[str]) -> dict[str, Folder]:
    """Return those that are folders and may be looked into; what cannot be looked into is not shown to others."""
    found: dict[str, Folder] = {}
    for path in paths:
        with contextlib.suppress(OSError):
            names = frozenset(os.listdir(path)) & SECRET_NAMES  # noqa: PTH208 - names are all that is wanted
            if ".git" in names and _is_harmless(Path(path, ".git", "config")):
                names -= {".git"}
            found[path] = Folder(str(Path(path).resolve()), names)
    return found


def _is_harmless(configuration: Path) -> bool:
    """Whether a clone's configuration can be read as a whole, and holds no credential."""
    try:
        with configuration.open(encoding="utf-8") as file:
            text = file.read(CONFIGURATION_CHARACTERS)
    except (OSError, UnicodeDecodeError):
        return False
    return len(text) < CONFIGURATION_CHARACTERS and is_harmless_configuration(text)
