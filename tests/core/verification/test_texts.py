"""What the sanitiser makes of the agent's words is said before they are published."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.documents import HandOff
from coven_action.core.verification import texts
from coven_action.core.verification.texts import TextFacts, examine_texts
from tests.fuzzing import examples


def test_plain_words_are_left_alone():
    assert examine_texts(HandOff(title="Round half up", body="As the issue asks.\n\n- one\n- two")) == TextFacts()
    assert examine_texts(HandOff()) == TextFacts()


@pytest.mark.parametrize(
    ("title", "body", "said"),
    [
        ("@maintainer", "", "made inert before publication: 1 mention"),
        ("", "@maintainer and @acme", "made inert before publication: 2 mentions"),
        ("@maintainer", "@acme", "made inert before publication: 2 mentions"),
        ("", "fixes #7", "made inert before publication: 1 issue reference"),
        ("", "![x](https://evil.example/x.png)", "made inert before publication: 2 links, 1 image"),
    ],
)
def test_what_is_made_inert_is_counted_over_title_and_text(title, body, said):
    assert examine_texts(HandOff(title=title, body=body)).made_inert == said


@pytest.mark.parametrize(("name", "function"), [("the title", "sanitise_title"), ("the text", "sanitise_output")])
def test_a_text_that_one_pass_does_not_bring_to_rest_is_named(monkeypatch, name, function):
    ordinary = getattr(texts, function)
    monkeypatch.setattr(texts, function, lambda text: ordinary(f"{text if isinstance(text, str) else text.text}x"))

    assert examine_texts(HandOff(title="Mend", body="it")).restless == (name,)


@given(st.text(max_size=200), st.text(max_size=400))
@examples(200)
def test_no_words_are_restless(title, body):
    assert examine_texts(HandOff(title=title, body=body)).restless == ()
