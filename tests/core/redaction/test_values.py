"""Secrets inside documents are covered before anything is made of them."""

import json

from pydantic import Field

from coven_action.core.records import Record
from coven_action.core.redaction.encodings import KIND
from coven_action.core.redaction.redactor import Redactor
from coven_action.core.redaction.values import find_kinds, redact_record, redact_values, render_redacted

SECRET = "zk7Xw2mZ9qLp4Rt8Vb3Nc6"
SPLIT = "\n".join(SECRET)
REDACTOR = Redactor.build([SECRET])


class Note(Record):
    text: str
    more: tuple[str, ...] = ()
    number: int = 0
    facts: dict[str, bool] = Field(default_factory=dict)


def test_texts_are_covered_wherever_they_stand_and_the_rest_stays():
    value = {"a": [SECRET, 1, None, True], SECRET: {"b": ("x", SPLIT)}}
    covered = f"[redacted: {KIND}]"
    assert redact_values(value, REDACTOR) == {"a": [covered, 1, None, True], covered: {"b": ["x", covered]}}


def test_a_value_split_over_lines_does_not_survive_in_json():
    note = Note(text=SPLIT, more=("x",), number=3, facts={"yes": True})
    rendered = render_redacted(note, REDACTOR)
    assert json.loads(rendered)["text"] == f"[redacted: {KIND}]"
    # Once it is JSON, the line breaks are letters, and no search sees the value any more.
    assert not REDACTOR.find(json.dumps({"text": SPLIT}))


def test_a_record_stays_a_record():
    note = Note(text=f"a {SECRET} b", more=("x", "y"), number=3, facts={"yes": True})
    assert redact_record(note, REDACTOR) == note.model_copy(update={"text": f"a [redacted: {KIND}] b"})


def test_kinds_are_found_in_texts_and_in_names_of_fields():
    assert find_kinds({"a": ["x", 1], SPLIT: ()}, REDACTOR) == {KIND}
    assert find_kinds({"a": [SECRET]}, REDACTOR) == {KIND}
    assert find_kinds({"a": ["x", 1, None]}, REDACTOR) == frozenset()
