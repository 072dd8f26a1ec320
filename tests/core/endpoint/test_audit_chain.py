"""The audit log's chain: whatever is done to a row shows, and where."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.endpoint.audit_chain import (
    EMPTY,
    GENESIS,
    AuditRow,
    ChainBroken,
    ChainHead,
    build_head_message,
    hash_audit_row,
    verify_chain,
)

WORDS = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)


def build_chain(count, *, start=EMPTY):
    rows, head = [], start
    for number in range(start.sequence + 1, start.sequence + count + 1):
        # The clock goes back and forth; the chain does not look at it.
        row = AuditRow(number, 1_000 - number % 3, "admin", "memory.approve", f"memory:{number}", "{}", head.hash)
        head = ChainHead(number, hash_audit_row(row))
        rows.append((row, head.hash))
    return rows


def change(rows, index, **values):
    row, stored = rows[index]
    return [*rows[:index], (row._replace(**values), stored), *rows[index + 1 :]]


def rehash(rows, index, **values):
    """Change a row and give it the hash it then has."""
    row = rows[index][0]._replace(**values)
    return [*rows[:index], (row, hash_audit_row(row)), *rows[index + 1 :]]


def test_a_chain_gives_its_head():
    rows = build_chain(5)

    assert verify_chain(rows) == (5, rows[-1][1])
    assert verify_chain([]) == (0, GENESIS)


def test_a_part_is_verified_from_the_row_before_it():
    rows = build_chain(5)

    assert verify_chain(rows[3:], ChainHead(3, rows[2][1])) == (5, rows[4][1])


UNEXPECTED = "row {} was expected"
UNLINKED = "it does not follow the row before it"
UNHASHED = "its values are not those that were hashed"
TAMPERED = {
    "the first row is gone": (lambda rows: rows[1:], 2, UNEXPECTED.format(1)),
    "a row is gone": (lambda rows: [*rows[:2], *rows[3:]], 4, UNEXPECTED.format(3)),
    "two have changed places": (lambda rows: [rows[0], rows[2], rows[1], *rows[3:]], 3, UNEXPECTED.format(2)),
    "one stands twice": (lambda rows: [*rows[:2], rows[1], *rows[2:]], 2, UNEXPECTED.format(3)),
    "one names another before it": (lambda rows: change(rows, 2, previous="0" * 64), 3, UNLINKED),
    "one was rewritten with its hash": (lambda rows: rehash(rows, 1, actor="person:1"), 3, UNLINKED),
    "the chain begins elsewhere": (lambda _: build_chain(1, start=ChainHead(0, "0" * 64)), 1, UNLINKED),
    "a hash was changed": (lambda rows: [*rows[:4], (rows[4][0], "0" * 64)], 5, UNHASHED),
    "a moment was changed": (lambda rows: change(rows, 2, at=1), 3, UNHASHED),
    "an actor was changed": (lambda rows: change(rows, 2, actor="x"), 3, UNHASHED),
    "an action was changed": (lambda rows: change(rows, 2, action="x"), 3, UNHASHED),
    "a subject was changed": (lambda rows: change(rows, 2, subject="x"), 3, UNHASHED),
    "a detail was changed": (lambda rows: change(rows, 2, detail="{} "), 3, UNHASHED),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_whatever_was_done_to_the_log_shows_at_its_place(case):
    tamper, sequence, reason = TAMPERED[case]

    with pytest.raises(ChainBroken, match=reason) as broken:
        verify_chain(tamper(build_chain(5)))

    assert (broken.value.sequence, broken.value.reason) == (sequence, reason)


@given(st.lists(WORDS, min_size=5, max_size=5), st.lists(WORDS, min_size=5, max_size=5))
def test_two_rows_have_one_hash_only_where_they_are_equal(one, other):
    first, second = (AuditRow(1, 1, *values) for values in (one, other))

    assert (hash_audit_row(first) == hash_audit_row(second)) == (first == second)


def test_a_head_names_its_tenant():
    messages = {build_head_message(*parts) for parts in ((1, 2, "a"), (2, 1, "a"), (1, 2, "b"), (12, 2, "a"))}

    assert len(messages) == 4
