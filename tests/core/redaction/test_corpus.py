"""Recall and precision on a small fixed part of the corpus that the benchmark uses; no timing."""

import pytest

from benchmarks.redaction_corpus import build_positives, read_lock_files, read_records, read_sources
from coven_action.core.redaction.redactor import Redactor

REDACTOR = Redactor.build()


def test_recall_is_at_least_98_percent():
    positives = build_positives(3, seed=98)

    covered = sum(positive.secret not in REDACTOR.redact(positive.line) for positive in positives)

    assert len(positives) > 100
    assert covered >= 0.98 * len(positives)


def test_precision_is_at_least_98_percent_with_as_many_real_lines_as_there_are():
    found = len(build_positives(3, seed=98))
    lines = [*read_lock_files(), *read_records(), *read_sources(("jwt", "requests"))]

    false = sum(len(REDACTOR.find(line)) for line in set(lines))

    assert len(set(lines)) >= 5_000
    assert found / (found + false) >= 0.98


@pytest.mark.parametrize("read", [read_lock_files, read_records])
def test_lock_files_and_hash_lists_come_through_unchanged(read):
    text = "\n".join(read())

    assert REDACTOR.redact(text) == text
