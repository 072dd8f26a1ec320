"""Proposals that repeat an entry, nearly repeat it, or contradict it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.endpoint.similarity import Compared, find_likeness, measure_share

OTHER = "mem_00000000000000aa"


def compare(text, other):
    found = find_likeness(text, [Compared(OTHER, other)])
    return found[0] if found else None


@pytest.mark.parametrize(
    ("text", "other", "kind"),
    [
        # the same, whatever the spaces and the case
        ("Amounts are rounded half even.", "amounts are  rounded\nhalf EVEN.", "duplicate"),
        ("\uff21mounts", "Amounts", "duplicate"),
        ("", "", "duplicate"),
        # nearly the same
        (
            "All amounts in the billing service are rounded half even before they are stored anywhere.",
            "All amounts in the billing service are rounded half even before they are stored.",
            "near_duplicate",
        ),
        # the same subject and another statement
        ("Amounts are rounded half even.", "Amounts are not rounded half even.", "conflict"),
        ("Migrations run without a lock.", "Migrations run with a lock.", "conflict"),
        ("The cache isn't shared between workers.", "The cache is shared between workers.", "conflict"),
        ("The client retries requests 3 times.", "The client retries requests 5 times.", "conflict"),
        (
            "The client waits 1.5 seconds between requests.",
            "The client waits 1.6 seconds between requests.",
            "conflict",
        ),
        ("The client waits 1_000 milliseconds.", "The client waits 2000 milliseconds.", "conflict"),
        ("Tests of the ledger run with `make test`.", "Tests of the ledger run with `tox`.", "conflict"),
        ('The default currency is "EUR" in ledgers.', 'The default currency is "USD" in ledgers.', "conflict"),
        ("Run the ledger tests with `make test`.", "Never run the ledger tests with `make test`.", "conflict"),
        # two denials are none
        ("The ledger never runs without a lock.", "The ledger runs with a lock.", None),
        # something else
        ("Amounts are rounded half even.", "The build takes ten minutes.", None),
        ("Ledger 3", "Ledger 5", None),
        ("Migrations run with 3 locks.", "Documentation lies in 5 folders.", None),
        ("?", "!", None),
        ("The client waits 1_000 milliseconds for answers.", "The client waits 1000 ms until answers arrive.", None),
        # digits within a name are no number
        ("Files are written as utf8 text.", "Files are written as utf16 text.", None),
    ],
)
def test_what_is_found(text, other, kind):
    found = compare(text, other)

    assert (found.kind if found else None) == kind
    assert (compare(other, text) or found) == found or compare(other, text).kind == kind


def test_a_finding_is_told_by_id_and_by_what_differs_never_by_text():
    found = compare(
        "The secretname client retries requests 3 times.", "The secretname client retries requests 5 times."
    )

    assert found.flag == f"conflict:{OTHER}"
    assert found.sentence == f"{OTHER} speaks of the same and names another number"
    assert compare("Tests with `a`.", "Tests with `b`.") is None
    assert "value" in compare("Ledger tests run with `a`.", "Ledger tests run with `b`.").sentence
    assert "denies" in compare("Ledger tests need locks.", "Ledger tests never need locks.").sentence


def test_findings_come_by_id_whatever_the_order():
    text = "Amounts of the ledger are rounded half even."
    others = [Compared("mem_2", text), Compared("mem_1", "Amounts of the ledger are not rounded half even."),
              Compared("mem_3", "The build takes ten minutes.")]  # fmt: skip

    found = find_likeness(text, others)

    assert [(each.kind, each.id) for each in found] == [("conflict", "mem_1"), ("duplicate", "mem_2")]
    assert find_likeness(text, reversed(others)) == found


@given(st.text(max_size=200))
def test_every_text_is_its_own_duplicate(text):
    assert compare(text, text).kind == "duplicate"


@given(st.text(max_size=120), st.text(max_size=120))
def test_a_comparison_reads_the_same_from_either_side(one, other):
    kinds = [found.kind if found else None for found in (compare(one, other), compare(other, one))]

    assert kinds[0] == kinds[1]


def test_shares():
    assert measure_share(frozenset(), frozenset()) == 0
    assert measure_share(frozenset("ab"), frozenset("bc")) == 1 / 3
