"""A condition is called false only where nothing that happens in the run could make it true."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.workflows.expressions import MAX_LENGTH, UNKNOWN, evaluate, evaluate_condition
from tests.fuzzing import examples

LABELED = {
    "github.event_name": "issues",
    "github.event.action": "labeled",
    "github.event.label.name": "coven:fix",
    "github.event.comment": None,
}

CASES = [
    # the quickstart's own
    ("github.event_name != 'issues' || startsWith(github.event.label.name, 'coven:')", True),
    ("${{ github.event_name != 'issues' || startsWith(github.event.label.name, 'bot:') }}", False),
    # equality and its neighbours; text is compared without regard to case, as at GitHub
    ("github.event.label.name == 'COVEN:FIX'", True),
    ("github.event.label.name == 'coven:docs'", False),
    ("github.event.label.name != 'coven:fix'", False),
    ("github.event.label['name'] == 'coven:fix'", True),
    ("GitHub.Event.Label.Name == 'coven:fix'", True),
    ("'it''s' == 'it''s'", True),
    ("1 == 1", True),
    ("1 == '1'", None),
    ("1 < 2", None),
    ("1 <= 2 && false", False),
    ("1 > 2", None),
    ("1 >= 2", None),
    ("1 == 1 == true", True),
    # absent and unknown
    ("github.event.comment.body == null", True),
    ("startsWith(github.event.comment.body, '/coven')", False),
    ("contains(github.event.comment.body, 'x') || github.actor == 'bob'", None),
    ("github.actor == 'bob'", None),
    ("github.actor == 'bob' && false", False),
    ("github.actor == 'bob' && true", None),
    ("false && github.actor == 'bob'", False),
    ("github.actor == 'bob' || true", True),
    ("github.actor == 'bob' || false", None),
    ("true || github.actor", True),
    ("github.actor != 'bob'", None),
    ("vars[github.actor] == 'x'", None),
    ("github.event.labels.*.name", None),
    ("github.event.labels[*].name", None),
    # functions
    ("always()", True),
    ("success()", None),
    ("startsWith(github.actor, 'b')", None),
    ("startsWith(1, 'b')", None),
    ("endsWith(github.event.label.name, ':FIX')", True),
    ("endsWith(1, 'b')", None),
    ("contains(github.event.label.name, 'fix')", True),
    ("contains(1, 'fix')", None),
    ('contains(fromJSON(\'["coven:fix", "x"]\'), github.event.label.name)', True),
    ("contains(fromJSON('[\"coven:docs\"]'), github.event.label.name)", False),
    ("contains(fromJSON('[1]'), github.event.label.name)", None),
    ("fromJSON('[')", None),
    ("fromJSON('[]')", True),
    ("fromJSON('{}')", None),
    ("fromJSON('0.0')", None),
    ("fromJSON('0')", False),
    ("fromJSON('[1]') != fromJSON('[1]')", None),
    ("fromJSON(1)", None),
    ("format('{0}', github.event.label.name) == 'coven:fix'", None),
    # negation and brackets
    ("!(github.event.label.name == 'coven:fix')", False),
    ("!!true", True),
    ("!true", False),
    ("!github.actor", None),
    ("(false || (true))", True),
    # what cannot be read is never called false
    ("", None),
    ("false ||", None),
    ("(false", None),
    ("false false", None),
    ("startsWith(false", None),
    ("github.event[false", None),
    ("github.", None),
    ("github.'x'", None),
    ("&& false", None),
    ("false ? false : false", None),
    ("${{ false }} and more", None),
    ("'" + "x" * MAX_LENGTH + "' == 'y'", None),
    ("(" * 100 + "false" + ")" * 100, None),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_a_condition_comes_to_what_is_known_beforehand(text, expected):
    assert evaluate_condition(text, LABELED) is expected


def test_a_value_may_be_text():
    assert evaluate("github.event.label.name", LABELED) == "coven:fix"
    assert evaluate("null", {}) is None
    assert evaluate("github.event", LABELED) is UNKNOWN


@examples(150)
@given(st.text(alphabet="()[]!&|=<>.,'*$ {}abgithub01-", max_size=60))
def test_no_expression_breaks_the_evaluation(text):
    assert evaluate_condition(text, LABELED) in (True, False, None)
