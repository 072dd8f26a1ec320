"""Every property test can be run with more examples: none fixes their number by itself."""

from pathlib import Path

import pytest

from tests import fuzzing

TESTS = Path(__file__).parent
OWN_SETTINGS = ("max_" + "examples=", "derand" + "omize=")


@pytest.mark.parametrize(("factor", "count", "is_repeatable"), [(1, 20, True), (10, 200, False)])
def test_fuzzing_multiplies_the_examples_and_draws_them_anew(monkeypatch, factor, count, is_repeatable):
    monkeypatch.setattr(fuzzing, "FACTOR", factor)

    settings = fuzzing.examples(20)

    assert (settings.max_examples, settings.derandomize) == (count, is_repeatable)
    assert settings.deadline is None


def test_no_test_sets_the_number_of_its_examples_by_itself():
    found = [
        str(path.relative_to(TESTS))
        for path in TESTS.rglob("*.py")
        if path != Path(fuzzing.__file__)
        and any(setting in path.read_text(encoding="utf-8") for setting in OWN_SETTINGS)
    ]

    assert found == []
