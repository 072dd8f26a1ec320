"""Secrets inside documents are covered before anything is made of them."""

import json

import pytest
from pydantic import Field

from coven_action.core.records import Record
from coven_action.core.redaction.encodings import KIND
from coven_action.core.redaction.redactor import Redactor
from coven_action.core.redaction.values import (
    CoverDoesNotFit,
    find_kinds,
    redact_record,
    redact_values,
    render_redacted,
)

SECRET = "zk7Xw2mZ9qLp4Rt8Vb3Nc6"
SPLIT = "\n".join(SECRET)
REDACTOR = Redactor.build([SECRET])


class Note(Record):
    text: str
    more: tuple[str, ...] = ()
    number: int = 0
    facts: dict[str, bool] = Field(default_factory=dict)


class Form(Record):
    short: str = Field(default="", max_length=22)
    form: str = Field(default="", pattern="^[0-9A-Za-z]*$")
    notes: tuple["Form", ...] = ()


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


@pytest.mark.parametrize(
    ("note", "places"),
    [
        ({"short": SECRET}, "short"),
        ({"form": SECRET}, "form"),
        ({"form": SECRET, "short": SECRET}, "form, short"),
        ({"notes": ({"short": "x"}, {"short": SECRET})}, "notes.1.short"),
    ],
)
def test_a_record_without_room_for_the_cover_is_none_and_the_secret_is_not_repeated(note, places):
    with pytest.raises(CoverDoesNotFit) as refused:
        redact_record(Form.model_validate(note), REDACTOR)

    assert str(refused.value) == f"there is no room for what covers a secret: {places}"
    assert refused.value.__suppress_context__


def test_kinds_are_found_in_texts_and_in_names_of_fields():
    assert find_kinds({"a": ["x", 1], SPLIT: ()}, REDACTOR) == {KIND}
    assert find_kinds({"a": [SECRET]}, REDACTOR) == {KIND}
    assert find_kinds({"a": ["x", 1, None]}, REDACTOR) == frozenset()
