"""docs/trust-and-memory.md explains every step of the verification, in its order."""

import re
from pathlib import Path

from coven_action.core.verification.verification import CONTRACT, STEPS

DOCUMENT = (Path(__file__).parents[3] / "docs/trust-and-memory.md").read_text(encoding="utf-8")


def test_every_step_is_explained_in_its_order():
    table = DOCUMENT.split("| step | what is held |", 1)[1].split("\n\n", 1)[0]

    assert re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE) == [CONTRACT, *STEPS]
