"""The sandbox of a stage: proved once, used for every program, and none where nothing is proved."""

import json

import pytest

from coven_action.adapters.sandbox import confinement as module
from coven_action.adapters.sandbox.confinement import ProvedConfinement
from coven_action.core.contract.process_output import ProcessLimits
from coven_action.core.sandbox.probes import Attempt, build_attempt
from coven_action.core.sandbox.request import RELAY_PORT, SandboxRequest
from coven_action.errors import EnvironmentFault, RuntimeFault
from tests.sandboxes import missing, open_base

PATH = "/usr/bin:/bin"
LIMITS = ProcessLimits(seconds=30, grace_seconds=0.0)


@pytest.fixture(scope="module")
def base():
    with open_base() as folder:
        yield folder


@pytest.fixture(scope="module")
def confinement(base):
    proved = ProvedConfinement(base / "ours/sandbox", {"PATH": PATH, "HOME": str(base / "home")})
    if proved.prove().level == "none":
        missing("no sandbox starts here")
    return proved


def run(confinement, base, script, **options):
    folder = base / "workspace"
    folder.mkdir(exist_ok=True)
    output = bytearray()
    request = SandboxRequest(argv=("/bin/sh", "-c", script), environment={"PATH": PATH}, folder=str(folder))
    ended = confinement.run(request, limits=LIMITS, write=output.extend, **options)
    return ended, output.decode()


def test_a_program_runs_in_what_was_proved(confinement, base):
    (base / "secret").write_text("kept outside")
    ended, output = run(confinement, base, f"cat {base}/secret; pwd; exit 4")

    assert ended.process.exit_code == 4
    assert "kept outside" not in output
    assert output.endswith(f"{base}/workspace\n")
    assert ended.limited_by


def test_it_is_proved_once_and_leaves_nothing(base, monkeypatch):
    found = []
    attempt = Attempt(backend="landlock", level="partial")
    monkeypatch.setattr(module, "find_sandbox", lambda *given: found.append(given) or (None, (attempt,)))
    folder = base / "once"
    confinement = ProvedConfinement(folder, {"PATH": PATH})

    assert confinement.prove() == confinement.prove() == attempt
    assert len(found) == 1
    assert list(folder.iterdir()) == []


def test_what_an_interrupted_run_has_left_is_removed_and_nothing_else(base, monkeypatch):
    monkeypatch.setattr(module, "find_sandbox", lambda *_: (None, ()))
    folder = base / "swept"
    for name in ("coven-sandbox-1/told", "coven-probe-2", "other"):
        (folder / name).mkdir(parents=True)

    ProvedConfinement(folder, {"PATH": PATH}).prove()

    assert [path.name for path in folder.iterdir()] == ["other"]


def test_where_nothing_is_proved_the_program_runs_and_the_level_says_so(base, monkeypatch):
    """A sandbox that held nothing is not used: what it would add to the evidence is only a name."""
    held_nothing = build_attempt("bubblewrap", "/usr/bin/bwrap", ())
    monkeypatch.setattr(module, "find_sandbox", lambda *_: ("a sandbox that is never started", (held_nothing,)))
    confinement = ProvedConfinement(base / "unproved", {"PATH": PATH})
    (base / "seen").write_text("seen\n")

    assert (confinement.prove().backend, confinement.prove().level) == ("none", "none")
    ended, output = run(confinement, base, f"cat {base}/seen")
    assert (ended.process.exit_code, output) == (0, "seen\n")


def test_a_program_ends_when_it_may_not_go_on(confinement, base):
    asked = []
    ended, _ = run(confinement, base, "exec sleep 60", keep_going=lambda: asked.append(1) or len(asked) < 2)

    assert ended.process.exit_code != 0
    assert not ended.process.timed_out
    assert ended.process.duration_seconds < 30
    assert not ended.exceeded


def test_the_bounds_of_the_tree_hold_besides(confinement, base, monkeypatch):
    monkeypatch.setattr("coven_action.adapters.sandbox.limits.LimitedTree.is_within_bounds", lambda *_: False)
    ended, _ = run(confinement, base, "exec sleep 60")

    assert ended.process.duration_seconds < 30


def test_the_tools_of_the_job_are_found_and_none_in_a_folder_of_ours(base):
    sandbox = base / "tools/ours"
    for name in ("bin", "ours/bin"):
        (base / "tools" / name).mkdir(parents=True)
    environ = {"PATH": f"{base}/tools/bin:{sandbox}/bin:{PATH}", "API_KEY": "secret", "HOME": "/nonexistent"}
    confinement = ProvedConfinement(sandbox, environ)

    tools = confinement.find_tools()

    assert tools.environment["PATH"].split(":") == [f"{base}/tools/bin", *PATH.split(":")]
    assert [bind.path for bind in tools.binds] == [f"{base}/tools/bin"]
    assert not any(bind.writable for bind in tools.binds)
    assert "secret" not in json.dumps(dict(tools.environment))
    assert confinement.find_tools() is tools


def test_the_way_to_a_gateway_begins_at_the_port_of_the_sandbox(confinement):
    own_network = confinement.prove().backend in {"bubblewrap", "root-bubblewrap"}

    assert (confinement.choose_relay_port() == RELAY_PORT) is own_network


def test_a_folder_that_cannot_be_made_is_an_expected_error(base):
    (base / "file").write_text("")

    with pytest.raises(EnvironmentFault) as caught:
        ProvedConfinement(base / "file/sandbox", {"PATH": PATH}).prove()

    assert caught.value.code == "io-failed"


def test_files_that_cannot_be_written_are_an_expected_error(base, monkeypatch):
    monkeypatch.setattr(module, "find_sandbox", lambda *_: (None, ()))
    confinement = ProvedConfinement(base / "vanishing", {"PATH": PATH})
    confinement.prove()
    (base / "vanishing").rmdir()

    with pytest.raises(EnvironmentFault) as caught:
        run(confinement, base, "true")

    assert caught.value.code == "io-failed"


def test_a_program_that_could_not_be_started_is_told(base, monkeypatch):
    monkeypatch.setattr(module, "find_sandbox", lambda *_: (None, ()))

    def refuse(*_, **__):
        raise RuntimeFault("runtime-not-started", "The supervisor could not be started.")

    monkeypatch.setattr(module, "run_process", refuse)

    with pytest.raises(RuntimeFault):
        run(ProvedConfinement(base / "refusing", {"PATH": PATH}), base, "true")
