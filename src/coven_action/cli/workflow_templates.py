"""Where the workflow templates are: package data in an installed wheel, a folder at the top of a checkout."""

from pathlib import Path
from typing import Final

from coven_action.errors import EnvironmentFault

_PLACES: Final = (
    Path(__file__).with_name("workflows_templates"),
    Path(__file__).resolve().parents[3] / "workflows-templates",
)


def load_template(name: str, places: tuple[Path, ...] = _PLACES) -> str:
    """Return the text of a template.

    Raises:
        EnvironmentFault: `templates-missing`.
    """
    for place in places:
        if (place / name).is_file():
            return (place / name).read_text(encoding="utf-8")
    raise EnvironmentFault("templates-missing", f"The template {name} is in none of the places where it should be.")
