from dataclasses import replace

import pytest

from coven_action.core.sandbox.request import START, build_order
from coven_action.core.sandbox.unconfined import build_unconfined
from tests.core.sandbox.requests import MACHINE, PLACE, REQUEST

LAUNCH = build_unconfined(REQUEST, MACHINE, PLACE)


def test_the_program_is_started_by_the_entry_as_in_every_sandbox():
    python = ("/opt/python/bin/python3.11", "-I", "-S", "-c", START)

    assert LAUNCH.argv == (
        *python,
        "/opt/coven/inside",
        "/run-temp/told/order",
        "--",
        "/opt/agent",
        "--headless",
    )


def test_environment_limits_relay_and_folder_are_as_in_every_sandbox():
    assert LAUNCH.order == (*build_order(REQUEST), ("env", "TMPDIR=/run-temp/scratch"))
    assert {word for word, _ in LAUNCH.order} == {"env", "limit", "gateway", "relay", "folder"}


@pytest.mark.parametrize("landlock", [0, 7])
@pytest.mark.parametrize("uid", [0, 1001])
def test_nothing_is_confined_and_nobody_else_becomes_its_user(landlock, uid):
    launch = build_unconfined(REQUEST, replace(MACHINE, landlock=landlock, uid=uid), PLACE)

    assert launch == LAUNCH
    assert launch.filter == b""


def test_temporary_files_lie_where_they_are_removed_whatever_the_environment_says():
    launch = build_unconfined(replace(REQUEST, environment={"TMPDIR": "/elsewhere"}), MACHINE, PLACE)

    assert [value for word, value in launch.order if word == "env"][-1] == "TMPDIR=/run-temp/scratch"
