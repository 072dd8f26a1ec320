"""S2, S15, S22, S23, S24 and S28: what we ship, what we install, and what a workflow of a user's gives away."""

import re
from pathlib import Path

import yaml

from coven_action.adapters.runtime_install import install_runtime
from coven_action.core.configuration.parsing import parse_config
from coven_action.core.workflows.check import check_workflows
from coven_action.core.workflows.reading import read_workflow
from coven_action.errors import RuntimeFault
from tests.adapters.test_runtime_install import GOOD, LIMITS, Mirror, build_tar, pin
from tests.redteam.cases import redteam
from tests.redteam.siege import CONFIGURATION

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = {path.name: path.read_text() for path in sorted((ROOT / "workflows-templates").glob("*.yml"))}
QUICKSTART = TEMPLATES["quickstart.yml"].replace("0" * 40 + " # set at release", "a" * 40 + " # v1.0.0")
SHIPPED = {
    **TEMPLATES,
    "action.yml": (ROOT / "action.yml").read_text(),
    **{path.name: path.read_text() for path in sorted((ROOT / ".github/workflows").glob("*.yml"))},
}
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def find_steps(document):
    jobs = document.get("jobs", {"action": document.get("runs", {})})
    return [step for job in jobs.values() for step in job.get("steps", [])]


@redteam("S2", "no template writes a cache", attacks=list(TEMPLATES))
def test_s2_templates_write_no_cache(siege, attack):
    used = [step.get("uses", "") for step in find_steps(yaml.safe_load(TEMPLATES[attack]))]
    caching = [step for step in find_steps(yaml.safe_load(TEMPLATES[attack])) if "cache" in (step.get("with") or {})]
    return {"a cache": any("cache" in name.split("@")[0] for name in used) or bool(caching)}


@redteam("S15", "no expression stands inside a script of ours", attacks=list(SHIPPED))
def test_s15_no_script_holds_an_expression(siege, attack):
    scripts = [step.get("run", "") for step in find_steps(yaml.safe_load(SHIPPED[attack]))]
    return {"an expression": any("${{" in script for script in scripts)}


# Of the self-test the failing steps are the test: each is followed by one that asserts the failure.
GATES = [name for name in SHIPPED if name != "selftest.yml"]


@redteam("S28", "no step that guards something may fail quietly", attacks=GATES)
def test_s28_no_gate_may_fail_quietly(siege, attack):
    return {"quiet": "continue-on-error" in SHIPPED[attack] or "|| true" in SHIPPED[attack]}


@redteam("S22", "every action that we name, in files and pages, is named by a commit and says its version")
def test_s22_everything_is_pinned(siege):
    harms = {}
    for name, text in {**SHIPPED, **{path.name: path.read_text() for path in PAGES}}.items():
        lines = [line for line in text.splitlines() if re.match(r"\s*-?\s*uses:\s*\S+@", line)]
        loose = [line for line in lines if not re.search(r"@[0-9a-f]{40}\b.*#\s*\S", line)]
        harms[name] = bool(loose)
    return harms


PINS = {
    "a tag": "OpenCoven/coven-action@v1",
    "a branch": "OpenCoven/coven-action@main",
    "a short commit": "OpenCoven/coven-action@aaaaaaa",
    "a tag that looks like one": "OpenCoven/coven-action@" + "a" * 39 + "g",
    "capitals": "OpenCoven/coven-action@" + "A" * 40,
}


def find_codes(text):
    workflow = read_workflow(text, path=".github/workflows/coven.yml")
    config = parse_config(CONFIGURATION, path=".github/coven.yml")
    return {found.code for found in check_workflows([workflow], config, own=False)}


@redteam("S22", "`check` says so where a workflow names the action by something that can be moved", attacks=PINS)
def test_s22_check_finds_what_is_not_pinned(siege, attack):
    text = re.sub(r"OpenCoven/coven-action@\S+", attack, QUICKSTART)
    return {"unsaid": "action-not-pinned" not in find_codes(text)}


GIVEN = {
    "an identity token": (
        "      contents: write",
        "      id-token: write\n      contents: write",
        "id-token-beside-agent",
    ),
    "a trigger that lends a fork our rights": ("on:\n", "on:\n  pull_request_target:\n", "unsafe-trigger"),
    "a key in the file": ("${{ secrets.MODEL_API_KEY }}", "zk1234567890", "secret-in-workflow"),
}


@redteam("S23", "`check` says so where a workflow gives an agent's job more than it needs", attacks=GIVEN)
def test_s23_check_finds_what_is_given_away(siege, attack):
    before, after, code = attack
    assert before in QUICKSTART
    return {"unsaid": code not in find_codes(QUICKSTART.replace(before, after, 1))}


@redteam("S23", "no template of ours starts for a fork's pull request or lends an identity", attacks=list(TEMPLATES))
def test_s23_templates_lend_nothing(siege, attack):
    document = yaml.safe_load(TEMPLATES[attack])
    triggers = set(document[True])  # YAML 1.1 reads the key `on` as a truth value
    working = [job for job in document["jobs"].values() if "secrets." in str(job)]
    granted = [job.get("permissions", {}) for job in working]
    return {
        "a fork": bool(triggers & {"pull_request_target", "pull_request", "workflow_run"}),
        "nobody looked at": not working,
        "an identity": any("id-token" in grant for grant in granted),
        "more than nothing by default": document["permissions"] != {},
        "credentials in the checkout": TEMPLATES[attack].count("actions/checkout@")
        != TEMPLATES[attack].count("persist-credentials: false"),
    }


CHANGED = build_tar(("coven-code", b"#!/bin/sh\necho stolen\n", {}))
MIRRORED = {"another program": CHANGED, "the program and more": build_tar(("x", b"x", {}), ("coven-code", b"x", {}))}


@redteam("S24", "an archive that is not the pinned one is not installed", attacks=MIRRORED)
def test_s24_only_the_pinned_archive_is_installed(siege, attack):
    mirror = Mirror()

    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(attack)))
        handler.end_headers()
        handler.wfile.write(attack)

    mirror.answer = answer
    try:
        install_runtime(pin(GOOD), cache=siege.folder, base_url=mirror.url, limits=LIMITS)
    except RuntimeFault:
        return {"installed": False}
    finally:
        mirror.close()
    return {"installed": True}


def swap_program(folder):
    place = next(folder.rglob("coven-code-*.tar.gz")).with_name("coven-code")
    place.write_bytes(b"#!/bin/sh\necho stolen\n")


def link_program(folder):
    place = next(folder.rglob("coven-code-*.tar.gz")).with_name("coven-code")
    elsewhere = folder / "stolen"
    elsewhere.write_bytes(place.read_bytes())
    elsewhere.chmod(0o755)
    place.unlink()
    place.symlink_to(elsewhere)


@redteam(
    "S24",
    "a program that was exchanged in the runner's cache is not started",
    attacks={"another program": swap_program, "a link to a program": link_program},
)
def test_s24_the_cache_is_verified_every_time(siege, attack):
    mirror = Mirror()

    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(GOOD)))
        handler.end_headers()
        handler.wfile.write(GOOD)

    mirror.answer = answer
    try:
        install_runtime(pin(GOOD), cache=siege.folder, base_url=mirror.url, limits=LIMITS)
        attack(siege.folder)
        install_runtime(pin(GOOD), cache=siege.folder, base_url=mirror.url, limits=LIMITS)
    except RuntimeFault:
        return {"started": False}
    finally:
        mirror.close()
    return {"started": True}
