"""A patch that is kept for a maintainer holds no secret, not even one that is split over its lines."""

import pytest

from coven_action.core.redaction.encodings import KIND
from coven_action.core.redaction.patch import redact_patch
from coven_action.core.redaction.redactor import Redactor

SECRET = "zk7Xw2mZ9qLp4Rt8Vb3Nc6"
REDACTOR = Redactor.build([SECRET])
HEAD = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,3 @@\n"


@pytest.mark.parametrize(
    "parts",
    [[SECRET], list(SECRET), [SECRET[:11], SECRET[11:]], [f"key = {SECRET[:8]}", SECRET[8:]]],
    ids=["whole", "letter by letter", "in halves", "behind a name"],
)
def test_added_lines_that_hold_a_part_are_covered(parts):
    lines = "".join(f"+{part}\n" for part in parts)
    redacted = redact_patch(f"{HEAD} before\n{lines}-gone\n+after\n".encode(), REDACTOR)
    covered = f"+[redacted: {KIND}]\n" * len(parts)
    assert redacted == f"{HEAD} before\n{covered}-gone\n+after\n"


def test_lines_apart_from_each_other_are_found_too():
    patch = f"{HEAD}+{SECRET[:11]}\n context\n@@ -9 +9 @@\n+{SECRET[11:]}\n"
    assert SECRET[:11] not in redact_patch(patch.encode(), REDACTOR)


def test_a_clean_patch_stays_as_it_is():
    assert redact_patch(f"{HEAD}+x\n".encode(), REDACTOR) == f"{HEAD}+x\n"


def test_what_stands_outside_of_added_lines_is_covered_as_in_any_text():
    assert redact_patch(f"{HEAD}-{SECRET}\n".encode(), REDACTOR) == f"{HEAD}-[redacted: {KIND}]\n"
