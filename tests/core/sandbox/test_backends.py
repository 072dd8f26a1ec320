from dataclasses import replace

import pytest

from coven_action.core.sandbox.backends import (
    BACKENDS,
    NOBODY,
    OWN_NETWORK,
    build_launch,
    choose_best,
    choose_user,
    find_obstacle,
)
from coven_action.core.sandbox.bubblewrap import build_bubblewrap, build_root_bubblewrap
from coven_action.core.sandbox.landlock import build_landlock
from coven_action.core.sandbox.probes import Attempt
from coven_action.core.sandbox.unconfined import build_unconfined
from tests.core.sandbox.requests import MACHINE, PLACE, REQUEST


@pytest.mark.parametrize(
    ("backend", "lacking", "obstacle"),
    [
        ("bubblewrap", {}, ""),
        ("root-bubblewrap", {}, ""),
        ("landlock", {}, ""),
        ("bubblewrap", {"bubblewrap": ()}, "bubblewrap is not installed"),
        ("root-bubblewrap", {"bubblewrap": ()}, "bubblewrap is not installed"),
        ("root-bubblewrap", {"sudo": None}, "neither root nor `sudo -n`"),
        ("root-bubblewrap", {"sudo": ()}, ""),
        ("bubblewrap", {"sudo": None, "landlock": 0}, ""),
        ("landlock", {"bubblewrap": (), "sudo": None}, ""),
        ("landlock", {"landlock": 0}, "the kernel has no Landlock"),
        ("bubblewrap", {"architecture": "riscv64"}, "no filter of system calls is known for riscv64"),
        ("landlock", {"architecture": ""}, "no filter of system calls is known for this machine"),
        ("none", {"bubblewrap": (), "sudo": None, "landlock": 0, "architecture": ""}, ""),
    ],
)
def test_what_a_machine_cannot_try(backend, lacking, obstacle):
    assert find_obstacle(backend, replace(MACHINE, **lacking)) == obstacle


@pytest.mark.parametrize(
    ("owner", "user"),
    [((1001, 1002), (1001, 1002)), ((0, 0), (NOBODY, NOBODY)), ((0, 5), (NOBODY, NOBODY)), ((5, 0), (NOBODY, NOBODY))],
)
def test_root_becomes_the_owner_of_the_folder_and_never_root(owner, user):
    assert choose_user(owner) == user


def test_each_backend_builds_its_own():
    def build(backend, machine=MACHINE):
        return build_launch(backend, REQUEST, machine, PLACE, program="bwrap", user=(5, 6))

    assert build("bubblewrap") == build_bubblewrap("bwrap", REQUEST, MACHINE, PLACE)
    assert build("root-bubblewrap") == build_root_bubblewrap("bwrap", REQUEST, MACHINE, PLACE, (5, 6))
    assert build("landlock") == build_landlock(REQUEST, MACHINE, PLACE)
    as_root = replace(MACHINE, uid=0)
    assert build("landlock", as_root) == build_landlock(REQUEST, as_root, PLACE, (5, 6))
    assert build("none") == build("none", as_root) == build_unconfined(REQUEST, MACHINE, PLACE)


@pytest.mark.parametrize("backend", ["docker", "None", ""])
def test_what_is_no_backend_builds_nothing(backend):
    with pytest.raises(ValueError, match="no backend"):
        build_launch(backend, REQUEST, MACHINE, PLACE, program="bwrap", user=(5, 6))


@pytest.mark.parametrize(
    ("levels", "chosen"),
    [
        ([], "none"),
        (["none", "none", "none"], "none"),
        (["enforced"], "bubblewrap"),
        (["none", "enforced"], "root-bubblewrap"),
        (["none", "none", "partial"], "landlock"),
        (["partial", "none", "partial"], "bubblewrap"),
        (["partial", "enforced", "partial"], "root-bubblewrap"),
    ],
)
def test_the_highest_level_is_chosen_and_of_equals_the_more_isolating(levels, chosen):
    attempts = tuple(Attempt(backend=name, level=level) for name, level in zip(BACKENDS, levels, strict=False))
    best = choose_best(attempts)

    assert best.backend == chosen
    assert best.level == max(levels, default="none", key=["none", "partial", "enforced"].index)
    assert bool(best.reason) == (chosen == "none")


def test_loopback_is_the_programs_own_exactly_where_its_network_is():
    with_own = {
        backend
        for backend in BACKENDS
        if "--unshare-net" in build_launch(backend, REQUEST, MACHINE, PLACE, program="bwrap", user=(5, 6)).argv
    }

    assert with_own == OWN_NETWORK
