"""The images: linted, nobody in them is root, and each step does what it says, tried piece by piece without an engine."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.sandboxes import missing

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = ROOT / "Dockerfile"
MIRROR = "http://deb.debian.org/debian"


def read_stages(text):
    """The stages of a Dockerfile: name -> its instructions with what follows each, in order."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    stages = {}
    for line in re.sub(r"\\\n", "", "\n".join(lines)).splitlines():
        word, _, rest = line.partition(" ")
        if word == "FROM":
            stages[rest.split(" AS ")[1]] = []
        next(reversed(stages.values())).append((word, rest.strip()))
    return stages


STAGES = read_stages(DOCKERFILE.read_text())


def find_all(stage, word):
    return [rest for found, rest in STAGES[stage] if found == word]


def find_step(stage, part):
    (step,) = (step for step in find_all(stage, "RUN") if part in step)
    return step


SCRIPTS = [(stage, step) for stage in STAGES for step in find_all(stage, "RUN")]

# --- what is said of both


def test_who_names_no_target_gets_the_endpoint():
    assert list(STAGES) == ["runner", "endpoint"]


@pytest.mark.parametrize("stage", STAGES)
def test_nobody_is_root_once_the_image_is_built(stage):
    words = [word for word, _ in STAGES[stage]]
    (user,) = find_all(stage, "USER")

    assert re.fullmatch(r"([1-9][0-9]{4}):\1", user)
    assert "RUN" not in words[words.index("USER") :]
    assert "COPY" not in words[words.index("USER") :]


@pytest.mark.parametrize("stage", STAGES)
def test_nothing_that_makes_root_or_other_containers_is_installed(stage):
    installed = set(find_step(stage, "apt-get").split("--no-install-recommends")[1].split("&&")[0].split())

    assert installed
    assert not installed & {"sudo", "doas", "gosu", "docker.io", "docker-cli", "podman", "openssh-server", "systemd"}
    assert "docker.sock" not in DOCKERFILE.read_text()


@pytest.mark.parametrize(("stage", "script"), SCRIPTS)
def test_every_step_is_a_script_that_stops_where_a_pipe_breaks(stage, script):
    assert find_all(stage, "SHELL") == ['["/bin/bash", "-o", "pipefail", "-c"]']
    subprocess.run(["bash", "-n", "-c", script], check=True)


def test_nothing_is_fetched_by_an_instruction_that_checks_no_digest():
    assert not [rest for stage in STAGES for rest in find_all(stage, "ADD")]


def lint(text, tmp_path):
    (tmp_path / "Dockerfile").write_text(text)
    program = Path(sys.executable).with_name("hadolint")
    return subprocess.run([program, "--no-color", tmp_path / "Dockerfile"], capture_output=True, text=True, check=False)


def test_the_linter_finds_nothing(tmp_path):
    assert (lint(DOCKERFILE.read_text(), tmp_path).returncode, lint(DOCKERFILE.read_text(), tmp_path).stdout) == (0, "")


@pytest.mark.parametrize(
    ("line", "rule"), [("USER root", "DL3002"), ("RUN sudo true", "DL3004"), ("ADD file /file", "DL3020")]
)
def test_the_linter_would_find_what_is_wrong(tmp_path, line, rule):
    linted = lint(f"{DOCKERFILE.read_text()}\n{line}\n", tmp_path)

    assert linted.returncode != 0
    assert rule in linted.stdout


def test_a_build_sees_what_it_copies_and_nothing_else():
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    copied = {source for stage in STAGES for rest in find_all(stage, "COPY") for source in rest.split()[:-1]}

    assert lines[0] == "*"
    assert {line.removeprefix("!") for line in lines if line.startswith("!")} == copied


# --- the runner's download

DOWNLOAD = find_step("runner", "curl --fail")
VERSION = "2.345.6"


class Builder:
    """Runs a step in a folder of its own, with stand-ins for what asks the network or wants to be root."""

    def __init__(self, folder):
        self.programs, self.place = folder / "programs", folder / "place"
        self.programs.mkdir()
        self.place.mkdir()
        self.calls = folder / "calls"
        self.calls.touch()
        (folder / "pack").mkdir()
        (folder / "pack/run.sh").write_text("#!/bin/sh\n")
        self.archive = folder / "archive"
        with tarfile.open(self.archive, "w:gz") as archive:
            archive.add(folder / "pack/run.sh", "run.sh")
        self.digest = hashlib.sha256(self.archive.read_bytes()).hexdigest()
        self.stand_in("curl", f"while [ $1 != --output ]; do shift; done; cp '{self.archive}' \"$2\"")
        self.stand_in("chown", "true")
        self.stand_in("dpkg", "echo amd64")

    def stand_in(self, name, script):
        path = self.programs / name
        path.write_text(f"#!/bin/sh\nprintf '%s\\n' \"{name} $*\" >> '{self.calls}'\n{script}\n")
        path.chmod(0o755)

    def run(self, script, **given):
        return subprocess.run(
            [*json.loads(find_all("runner", "SHELL")[0]), script],
            cwd=self.place,
            env={"PATH": f"{self.programs}:/usr/bin:/bin", **given},
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def called(self):
        return self.calls.read_text().splitlines()

    @property
    def left(self):
        return sorted(path.name for path in self.place.iterdir())


@pytest.fixture
def builder(tmp_path):
    return Builder(tmp_path)


@pytest.mark.parametrize(("architecture", "name"), [("amd64", "x64"), ("arm64", "arm64")])
def test_the_runner_that_was_asked_for_is_unpacked_for_its_user(builder, architecture, name):
    builder.stand_in("dpkg", f"echo {architecture}")

    done = builder.run(DOWNLOAD, RUNNER_VERSION=VERSION, RUNNER_SHA256=builder.digest)

    assert done.returncode == 0, done.stderr
    assert builder.left == ["run.sh"]
    (fetched,) = (call for call in builder.called if call.startswith("curl"))
    assert fetched.split()[-1] == (
        f"https://github.com/actions/runner/releases/download/v{VERSION}/actions-runner-linux-{name}-{VERSION}.tar.gz"
    )
    assert "--proto =https" in fetched
    assert "--fail" in fetched
    assert builder.called[-1] == "chown -R runner:runner /home/runner"


@pytest.mark.parametrize(
    "digest",
    ["0" * 64, "{digest} ", "{digest}0", "x", "*", "{upper}"],
    ids=["another", "longer by a space", "longer by a digit", "no digest", "a pattern", "capitals"],
)
def test_a_download_of_another_digest_is_not_unpacked(builder, digest):
    digest = digest.format(digest=builder.digest, upper=f"{builder.digest.upper()}!")

    done = builder.run(DOWNLOAD, RUNNER_VERSION=VERSION, RUNNER_SHA256=digest)

    assert done.returncode != 0
    assert "run.sh" not in builder.left
    assert not [call for call in builder.called if call.startswith("chown")]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({}, "RUNNER_VERSION"),
        ({"RUNNER_VERSION": VERSION}, "RUNNER_SHA256"),
        ({"RUNNER_VERSION": VERSION, "RUNNER_SHA256": ""}, "RUNNER_SHA256"),
        ({"RUNNER_SHA256": "0" * 64}, "RUNNER_VERSION"),
    ],
)
def test_without_version_and_digest_nothing_is_fetched(builder, given, named):
    done = builder.run(DOWNLOAD, **given)

    assert done.returncode != 0
    assert f"{named}: give it with --build-arg" in done.stderr
    assert builder.called == []


@pytest.mark.parametrize("script", ["exit 22", "echo half > runner.tar.gz; exit 18"])
def test_a_download_that_fails_ends_the_build(builder, script):
    builder.stand_in("curl", script)

    assert builder.run(DOWNLOAD, RUNNER_VERSION=VERSION, RUNNER_SHA256=builder.digest).returncode != 0
    assert "run.sh" not in builder.left


def test_no_version_is_taken_for_granted():
    assert find_all("runner", "ARG") == ["RUNNER_VERSION", "RUNNER_SHA256"]


# --- the runner's start

(CMD,) = find_all("runner", "CMD")


def start(tmp_path, environment):
    """Start what the image starts, with a stand-in for GitHub's runner that says how it was started."""
    program = tmp_path / "run.sh"
    program.write_text('#!/bin/sh\necho "started with $# arguments, configured by $ACTIONS_RUNNER_INPUT_JITCONFIG"\n')
    program.chmod(0o755)
    *shell, script = json.loads(CMD)
    assert script.count("/home/runner/run.sh") == 1
    return subprocess.run(
        [*shell, script.replace("/home/runner/run.sh", str(program))],
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_configuration_of_one_job_travels_by_the_environment_and_in_no_command_line(tmp_path):
    done = start(tmp_path, {"ACTIONS_RUNNER_INPUT_JITCONFIG": "eyJ9"})

    assert (done.returncode, done.stdout) == (0, "started with 0 arguments, configured by eyJ9\n")


@pytest.mark.parametrize("environment", [{}, {"ACTIONS_RUNNER_INPUT_JITCONFIG": ""}])
def test_no_runner_starts_that_would_stay_for_a_second_job(tmp_path, environment):
    done = start(tmp_path, environment)

    assert done.returncode != 0
    assert done.stdout == ""
    assert "set it to a just-in-time configuration" in done.stderr


# --- the runner's packages, in a Debian of its own


@pytest.fixture(scope="module")
def debian():
    """A Debian in a folder, in which the image's first step has run: what the engine would do, but for its layers."""
    if os.geteuid() != 0:
        missing("a Debian in a folder can be made by root alone", needs_root=True)
    program = shutil.which("debootstrap", path="/usr/sbin:/usr/bin")
    if program is None:
        pytest.skip("debootstrap is not installed")
    try:
        with urllib.request.urlopen(f"{MIRROR}/dists/bookworm/Release", timeout=10) as answer:
            answer.read(1)
    except urllib.error.URLError:
        pytest.skip("no mirror of Debian can be reached")
    with tempfile.TemporaryDirectory(prefix="coven-debian-") as folder:
        Path(folder).chmod(0o755)  # it becomes the root folder of every user
        subprocess.run(
            [program, "--variant=minbase", "bookworm", folder, MIRROR], check=True, stdout=subprocess.DEVNULL
        )
        shell = json.loads(find_all("runner", "SHELL")[0])
        subprocess.run(
            ["chroot", folder, *shell, find_step("runner", "apt-get")],
            check=True,
            stdout=subprocess.DEVNULL,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"},
        )
        yield Path(folder)


def enter(debian, *argv, user="10001:10001"):
    return subprocess.run(
        ["chroot", f"--userspec={user}", debian, *argv],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_the_action_and_the_runner_need_is_installed(debian):
    (user,) = find_all("runner", "USER")
    assert enter(debian, "id", "-un", user=user).stdout == "runner\n"
    for program in ("bwrap", "curl", "git"):
        assert enter(debian, program, "--version").returncode == 0, program
    wanted = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"
    assert enter(debian, "python3", "-I", "-c", wanted).returncode == 0
    libraries = enter(debian, "ldconfig", "-p", user="0:0").stdout
    for library in ("libicuuc.so.", "libssl.so.3", "libgssapi_krb5.so.2", "libz.so.1", "libstdc++.so.6"):
        assert library in libraries


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_program_gives_anybody_another_users_rights(debian):
    assert enter(debian, "find", "/", "-xdev", "-type", "f", "-perm", "/6000", user="0:0").stdout == ""
    assert enter(debian, "su", "-c", "id", "root").returncode != 0
    assert enter(debian, "sudo", "-n", "true").returncode != 0


# --- the endpoint's command


def test_the_image_has_the_command_by_its_name(tmp_path):
    """The examples of deployments run it, and so do operators inside a container."""
    script = find_step("endpoint", "compileall").partition("&&")[2]
    (tmp_path / "venv/bin").mkdir(parents=True)
    subprocess.run([*json.loads(find_all("endpoint", "SHELL")[0]), script], cwd=tmp_path, check=True)
    command = tmp_path / "venv/bin/coven-action"
    # The image's interpreter is this one, as far as the command can tell.
    command.write_text(command.read_text().replace("/opt/coven/venv/bin/python", sys.executable))

    done = subprocess.run(
        [command, "migrate", "--help"],
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "Make the endpoint's database" in done.stdout
    (path,) = (rest for rest in find_all("endpoint", "ENV") if rest.startswith("PATH="))
    assert path.removeprefix("PATH=").split(":")[0] == "/opt/coven/venv/bin"
