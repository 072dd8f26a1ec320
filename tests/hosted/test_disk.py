"""The free space of a real file system."""

import os

from coven_action.hosted.disk import Disk, measure_free, watch_disk


def test_the_share_is_the_file_system_s(tmp_path):
    found = os.statvfs(tmp_path)

    assert 0 <= measure_free(tmp_path) <= 1
    assert abs(measure_free(tmp_path) - found.f_bavail / found.f_blocks) < 0.05


def test_a_file_system_without_blocks_never_fills():
    # Some that are made of nothing say so; there is no share of nothing.
    assert measure_free("/proc") == 1.0


def test_the_disk_of_the_database_is_watched_before_the_file_is_there(tmp_path):
    # Others write to it meanwhile.
    assert abs(watch_disk(tmp_path / "coven.db", 0).free - measure_free(tmp_path)) < 0.05
    assert watch_disk(tmp_path / "coven.db", 0).is_low() is False


def test_a_database_elsewhere_has_no_disk_here():
    assert watch_disk(None, 50).is_low() is False


def test_the_limit_itself_is_enough():
    assert Disk(0.05, lambda: 0.05).is_low() is False
    assert Disk(0.05, lambda: 0.0499).is_low() is True
