"""Durations and sizes as people write them."""

import pytest

from coven_action.core.configuration.quantities import parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("10m", 600), ("1h", 3600), ("365d", 31_536_000), ("999999999s", 999_999_999)]
)
def test_a_duration_is_a_whole_number_with_a_unit(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(("text", "size"), [("1KiB", 1024), ("4MiB", 4 * 1024 * 1024)])
def test_a_size_is_a_whole_number_with_a_unit(text, size):
    assert parse_size(text) == size


HOSTILE = [
    "",
    "30",
    "m",
    "10 m",
    " 10m",
    "10m\n",
    "+1m",
    "-1m",
    "0m",
    "01m",
    "1.5h",
    "1_0m",
    "1e3s",
    "\u0661m",
    "1234567890s",
]


@pytest.mark.parametrize("text", [*HOSTILE, "10M", "1w", "1KiB", "1h30m"])
def test_a_duration_in_another_form_is_refused_with_advice(text):
    with pytest.raises(ValueError, match="write 10m, 90s or 1h"):
        parse_duration(text)


@pytest.mark.parametrize("text", [*HOSTILE, "4MB", "4Mi", "4mib", "4 MiB", "1GiB", "1m"])
def test_a_size_in_another_form_is_refused_with_advice(text):
    with pytest.raises(ValueError, match="write 512KiB or 4MiB"):
        parse_size(text)
