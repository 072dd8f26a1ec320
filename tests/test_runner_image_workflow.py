"""The workflow that renews the runner's image: what it looks up is checked, what it builds is tried, then it is pushed."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/runner-image.yml").read_text())
STEPS = {step.get("name", step.get("uses")): step for step in WORKFLOW["jobs"]["image"]["steps"]}
VERSION, SHA256 = "2.345.6", "ab" * 32

# --- GitHub's answer about the latest release


def answer(**changed):
    name = f"actions-runner-linux-x64-{VERSION}.tar.gz"
    other = {"name": f"actions-runner-win-x64-{VERSION}.zip", "digest": f"sha256:{'cd' * 32}"}
    asset = {"name": name, "digest": f"sha256:{SHA256}"} | changed.pop("asset", {})
    release = {"tag_name": f"v{VERSION}", "draft": False, "prerelease": False, "assets": [other, asset]}
    return release | changed


def find_release(text):
    program = ROOT / "scripts/find_runner_release.py"
    return subprocess.run([sys.executable, "-I", program], input=text, capture_output=True, text=True, check=False)


def test_version_and_digest_are_what_github_says():
    done = find_release(json.dumps(answer()))

    assert (done.returncode, done.stdout) == (0, f"version={VERSION}\nsha256={SHA256}\n")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '{"message": "Not Found"}',
        "<html>",
        *(
            json.dumps(each)
            for each in (
                answer(draft=True),
                answer(prerelease=True),
                answer(draft=None),
                answer(tag_name="v2.345"),
                answer(tag_name=f"v{VERSION}\nsha256=0"),
                answer(tag_name=f"v{VERSION}-rc.1"),
                answer(tag_name=None),
                answer(assets=None),
                answer(assets=[]),
                answer(assets=answer()["assets"] * 2),
                answer(asset={"name": "actions-runner-linux-x64-2.345.5.tar.gz"}),
                answer(asset={"digest": None}),
                answer(asset={"digest": SHA256}),
                answer(asset={"digest": f"sha512:{SHA256}"}),
                answer(asset={"digest": f"sha256:{SHA256}0"}),
                answer(asset={"digest": f"sha256:{SHA256}\nversion=9"}),
            )
        ),
    ],
)
def test_an_answer_of_another_form_is_no_release(text):
    done = find_release(text)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("No runner was found in GitHub's answer: ")


# --- the steps, run with stand-ins for the programs they call

DOCKER = """
case "$*" in
  *" id -u"*) printf '%s\\n' "$USER_ID" ;;
  *" --version"*) printf '%s\\n' "$FOUND_VERSION" ;;
  *" find "*) printf '%s' "$PRIVILEGED"; exit "${FIND_CODE:-0}" ;;
  login*) cat > "$PLACE/password" ;;
  push*) exit "${PUSH_CODE:-0}" ;;
  inspect*) echo "ghcr.io/acme/coven-runner@sha256:$(printf 'e%.0s' {1..64})" ;;
  run*" coven-runner") exit "$PLAIN_CODE" ;;
esac
"""
SOUND = {"USER_ID": "10001", "FOUND_VERSION": VERSION, "PRIVILEGED": "", "PLAIN_CODE": "127"}


@pytest.fixture
def run(tmp_path):
    """Run a step as the runner does: `run(name, gh=…, docker=…, **environment)`; what was called is in `run.calls`."""
    calls = tmp_path / "calls"

    def stand_in(name, script):
        path = tmp_path / "programs" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'#!/bin/bash\nprintf "%s\\n" "{name} $*" >> "$PLACE/calls"\n{script}\n')
        path.chmod(0o755)

    def run(name, *, gh="exit 9", docker=DOCKER, **environment):
        calls.write_text("")
        stand_in("gh", gh)
        stand_in("docker", docker)
        assert WORKFLOW["defaults"]["run"] == {"shell": "bash"}  # which GitHub starts with these options
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", STEPS[name]["run"]],
            cwd=ROOT,
            env={
                "PATH": f"{tmp_path}/programs:{Path(sys.executable).parent}:/usr/bin:/bin",
                "PLACE": str(tmp_path),
                "GITHUB_OUTPUT": f"{tmp_path}/output",
                "GITHUB_STEP_SUMMARY": f"{tmp_path}/summary",
                "GITHUB_REPOSITORY": "Acme/Coven",
                "GITHUB_ACTOR": "alice",
                "GH_TOKEN": "ghs_canary",
                "RUNNER_VERSION": VERSION,
                "RUNNER_SHA256": SHA256,
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        run.calls = calls.read_text().splitlines()
        return done

    return run


LOOK_UP = "Look up the latest release of GitHub's runner"


def test_what_is_looked_up_is_handed_to_the_build(run, tmp_path):
    done = run(LOOK_UP, gh=f"echo '{json.dumps(answer())}'")

    assert done.returncode == 0, done.stderr
    assert run.calls == ["gh api repos/actions/runner/releases/latest"]
    assert (tmp_path / "output").read_text() == f"version={VERSION}\nsha256={SHA256}\n"
    assert STEPS["Build"]["env"] == {
        "RUNNER_VERSION": "${{ steps.release.outputs.version }}",
        "RUNNER_SHA256": "${{ steps.release.outputs.sha256 }}",
    }


@pytest.mark.parametrize("gh", ["exit 1", "echo '{}'", f"echo '{json.dumps(answer())}'; exit 1"])
def test_where_nothing_can_be_looked_up_the_job_ends(run, gh):
    assert run(LOOK_UP, gh=gh).returncode != 0


def test_the_target_is_built_from_a_base_as_it_is_today(run):
    assert run("Build").returncode == 0
    (call,) = run.calls
    words = call.split()
    assert words[:2] == ["docker", "build"]
    assert "--pull" in words
    assert words[words.index("--target") + 1] == "runner"
    assert re.findall(r"--build-arg (\S+)", call) == ["RUNNER_VERSION", "RUNNER_SHA256"]


def test_a_sound_image_passes(run):
    done = run("Try", **SOUND)

    assert done.returncode == 0, done.stdout + done.stderr
    assert len(run.calls) == 4


@pytest.mark.parametrize(
    "fault",
    [
        {"USER_ID": "0"},
        {"USER_ID": ""},
        {"FOUND_VERSION": "2.345.5"},
        {"FOUND_VERSION": ""},
        {"PRIVILEGED": "/usr/bin/su"},
        {"FIND_CODE": "125"},
        {"PLAIN_CODE": "0"},
    ],
    ids=str,
)
def test_an_image_that_is_not_sound_ends_the_job(run, fault):
    assert run("Try", **SOUND | fault).returncode != 0


def test_the_image_is_pushed_by_version_and_named_by_digest(run, tmp_path):
    done = run("Publish")

    assert done.returncode == 0, done.stderr
    assert [call for call in run.calls if call.startswith("docker push")] == [
        f"docker push ghcr.io/acme/coven-runner:{VERSION}",
        "docker push ghcr.io/acme/coven-runner:latest",
    ]
    assert (tmp_path / "summary").read_text() == f"ghcr.io/acme/coven-runner@sha256:{'e' * 64}\n"


@pytest.mark.parametrize("code", ["0", "1"])
def test_the_token_is_in_no_command_line_and_is_forgotten_whatever_happens(run, tmp_path, code):
    done = run("Publish", PUSH_CODE=code)

    assert (done.returncode == 0) == (code == "0")
    assert (tmp_path / "password").read_text() == "ghs_canary\n"
    assert "canary" not in "".join(run.calls) + done.stdout + done.stderr
    assert run.calls[-1] == "docker logout ghcr.io"


def test_only_the_steps_that_ask_github_have_the_token():
    holders = [name for name, step in STEPS.items() if "github.token" in str(step)]

    assert holders == [LOOK_UP, "Publish"]


def test_the_image_is_tried_before_it_is_pushed_and_built_every_day():
    names = list(STEPS)

    assert names.index("Build") < names.index("Try") < names.index("Publish")
    minute, hour, *days = WORKFLOW[True]["schedule"][0]["cron"].split()  # YAML 1.1 reads the key `on` as a boolean
    assert days == ["*", "*", "*"]
    assert minute.isdigit()
    assert hour.isdigit()
    assert "workflow_dispatch" in WORKFLOW[True]


def test_what_is_granted_is_to_read_the_code_and_to_write_the_package():
    assert WORKFLOW["jobs"]["image"]["permissions"] == {"contents": "read", "packages": "write"}
    assert not {"pull_request", "pull_request_target", "push"} & set(WORKFLOW[True])
