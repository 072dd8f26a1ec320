"""Paths as git quotes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.patches.quoted_path import parse_quoted_path, render_quoted_path
from tests.fuzzing import examples


@pytest.mark.parametrize(
    ("quoted", "path"),
    [
        ('"a b"', "a b"),
        ('"\\303\\244"', "ä"),
        ('"\\t\\n\\"\\\\"', '\t\n"\\'),
        ('"\\001\\177"', "\x01\x7f"),
        ('"ä"  ', "ä"),
    ],
)
def test_a_quoted_path_is_read(quoted, path):
    assert parse_quoted_path(quoted) == path


@pytest.mark.parametrize("quoted", ['"', '"a', '"a"b', '"\\x41"', '"\\400"', '"\\377"', '"a\\'])
def test_a_broken_quotation_is_refused(quoted):
    with pytest.raises(ValueError, match=r"quotation|utf-8"):
        parse_quoted_path(quoted)


@examples(200)
@given(st.text(min_size=1))
def test_what_is_written_is_read_again(path):
    rendered = render_quoted_path(path)
    assert "\n" not in rendered
    assert (parse_quoted_path(rendered) if rendered != path else path) == path


def test_ordinary_paths_stay_as_they_are():
    assert render_quoted_path("src/a b/ä.py") == "src/a b/ä.py"
