"""What `init` writes is valid, pinned, and holds no more than the familiar needs."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from coven_action.core.configuration.mistakes import InvalidConfigError
from coven_action.core.configuration.parsing import parse_config
from coven_action.core.workflows.check import check_workflows
from coven_action.core.workflows.quickstart import (
    ISOLATED,
    QUICKSTART,
    SELF_HOSTED,
    TEMPLATES,
    Answers,
    choose_template,
    find_pin,
    needs_key,
    render_config,
    render_next_steps,
    render_workflow,
)
from coven_action.core.workflows.reading import read_workflow
from tests.fuzzing import examples

ROOT = Path(__file__).resolve().parents[3]
TEMPLATE = (ROOT / "workflows-templates/quickstart.yml").read_text()
SHA = "5fda3b95a4ea91299a34e894583c3862153e4b97"
RELEASED = TEMPLATE.replace(f"{'0' * 40} # set at release", f"{SHA} # v1.0.0")
PATCH = Answers(familiar="stitch", runtime="patch")
CODE = Answers(familiar="cody", runtime="coven-code", model="anthropic/claude-sonnet-4-6")


def test_the_smallest_configuration_is_as_short_as_the_documentation_says():
    assert render_config(CODE) == "version: 1\nfamiliars:\n  cody:\n    model: anthropic/claude-sonnet-4-6\n"
    assert render_config(PATCH) == "version: 1\nfamiliars:\n  stitch:\n    runtime: patch\n"


NAMES = ["Cody", "no", "On", "1", "1:30", "a: b", '"', "\\", "Cody # the first", "*x", "{", "Ünal 🌙", "a b", "-", "~"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_arrives_as_it_was_given(name):
    config = parse_config(render_config(PATCH.model_copy(update={"display_name": name})))

    assert config.familiar("stitch").display_name == name


@examples(100)
@given(st.text(min_size=1, max_size=40))
def test_any_name_is_written_as_it_is_or_refused(name):
    try:
        text = render_config(PATCH.model_copy(update={"display_name": name}))
    except InvalidConfigError:
        return
    assert parse_config(text).familiar("stitch").display_name == name


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"familiar": "Cody"}, "familiars.Cody"),
        ({"familiar": "coven"}, "familiars.coven"),
        ({"familiar": "no"}, None),
        ({"familiar": "a:\n  b"}, "familiars"),
        ({"display_name": "x\u202ey"}, "display_name"),
        ({"display_name": "x" * 61}, "display_name"),
        ({"runtime": "coven-code"}, "model is missing"),
        ({"runtime": "coven-code", "model": "sonnet"}, "model"),
    ],
)
def test_an_answer_that_no_configuration_may_hold_is_refused(answers, said):
    if said is None:
        assert "no" in parse_config(render_config(PATCH.model_copy(update=answers))).familiars
        return
    with pytest.raises(InvalidConfigError) as refused:
        render_config(PATCH.model_copy(update=answers))
    assert said in refused.value.diagnostics()


def test_a_familiar_without_any_key_is_still_a_mapping():
    with pytest.raises(InvalidConfigError, match="1 error"):
        render_config(Answers(familiar="cody", runtime="coven-code"))


def config(answers):
    return parse_config(render_config(answers))


@pytest.mark.parametrize("answers", [PATCH, CODE], ids=["patch", "coven-code"])
@pytest.mark.parametrize("template", [TEMPLATE, RELEASED], ids=["unreleased", "released"])
def test_the_workflow_passes_our_own_check(answers, template):
    text = render_workflow(template, config(answers), action_ref=SHA)
    findings = check_workflows([read_workflow(text, path="w.yml")], config(answers), own=False)

    assert findings == ()
    assert f"OpenCoven/coven-action@{SHA} #" in text


def test_the_patch_runtime_s_workflow_has_no_secret_and_is_otherwise_the_template():
    text = render_workflow(RELEASED, config(PATCH), action_ref=None)
    written, template = yaml.safe_load(text), yaml.safe_load(RELEASED)

    assert "secrets" not in text
    assert "environment" not in text
    del template["jobs"]["familiar"]["environment"]
    template["jobs"]["familiar"]["steps"][1]["with"] = {"isolation": "enforced"}
    assert written == template


def test_a_model_s_workflow_is_the_template():
    assert render_workflow(RELEASED, config(CODE), action_ref=None) == RELEASED
    assert render_workflow(RELEASED, config(CODE), action_ref=SHA) == RELEASED


def test_another_commit_than_the_release_says_that_it_is_none():
    text = render_workflow(TEMPLATE, config(CODE), action_ref=SHA)

    assert f"{SHA} # before the first release" in text
    assert find_pin(TEMPLATE) is None
    assert find_pin(text) == SHA


@pytest.mark.parametrize(
    ("template", "action_ref"),
    [
        (TEMPLATE, None),
        ("name: x", SHA),
        (RELEASED + RELEASED, "a" * 40),
        (RELEASED.replace("isolation: enforced", "isolation: partial"), None),
    ],
)
def test_a_template_that_cannot_be_filled_in_is_a_bug(template, action_ref):
    with pytest.raises(ValueError, match=r"commit|template"):
        render_workflow(template, config(PATCH), action_ref=action_ref)


@pytest.mark.parametrize("answers", [PATCH, CODE], ids=["patch", "coven-code"])
def test_other_people_s_linters_accept_the_workflow(answers, tmp_path):
    path = tmp_path / ".github/workflows/coven.yml"
    path.parent.mkdir(parents=True)
    path.write_text(render_workflow(TEMPLATE, config(answers), action_ref=SHA))
    programs = Path(sys.executable).parent

    for argv in (
        ("actionlint", str(path)),
        ("zizmor", "--offline", "--quiet", "--persona=pedantic", str(path)),
        ("check-jsonschema", "--builtin-schema", "vendor.github-workflows", str(path)),
    ):
        done = subprocess.run((programs / argv[0], *argv[1:]), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


CHECKED = "version: 1\nfamiliars: {a: {runtime: patch}}\nverify: [{name: tests, run: make}]\n"


def test_the_next_steps_name_what_each_runtime_needs():
    patch, code = render_next_steps(config(PATCH)), render_next_steps(config(CODE))

    assert "MODEL_API_KEY" not in patch
    assert "```diff" in patch
    assert not needs_key(config(PATCH))
    for words in (
        "environment",
        "MODEL_API_KEY",
        "whoever can push a branch",
        "coven-action probe",
        "isolation enforced",
    ):
        assert words in code.replace("Environment", "environment")
    for text in (patch, code):
        assert text.startswith("1. Commit both files to the default branch")
        assert "gh label create coven:fix" in text
        assert "create and approve pull requests" in text
        assert "verify: [{name: tests, run: make test}]" in text
    assert "verify:" not in render_next_steps(parse_config(CHECKED))


def test_labels_with_blanks_can_be_pasted_and_no_label_needs_no_step():
    quoted = parse_config(
        'version: 1\nfamiliars: {a: {runtime: patch}}\nrouting: [{when: {label: "fix me; rm"}, familiar: a}]\n'
    )
    none = parse_config(
        "version: 1\nfamiliars: {a: {runtime: patch, assignee: bot}}\nrouting: [{when: {assignee: bot}, familiar: a}]\n"
    )

    assert "gh label create 'fix me; rm'" in render_next_steps(quoted)
    assert "gh label" not in render_next_steps(none)


SEPARATE = (ROOT / "workflows-templates/isolated.yml").read_text()
HOSTED = parse_config(render_config(PATCH) + "hosted: {url: https://coven.example.com}\n")


def test_every_template_that_can_be_chosen_is_there():
    assert all((ROOT / f"workflows-templates/{name}.yml").is_file() for name in TEMPLATES)


@pytest.mark.parametrize("answers", [PATCH, CODE], ids=["patch", "coven-code"])
def test_separate_jobs_pass_our_own_check_and_every_use_is_pinned(answers):
    text = render_workflow(SEPARATE, config(answers), action_ref=SHA)
    findings = check_workflows([read_workflow(text, path="w.yml")], config(answers), own=False)

    assert findings == ()
    assert text.count(f"OpenCoven/coven-action@{SHA} # before the first release") == 4
    assert "0" * 40 not in text
    assert ("secrets." in text) is (answers is CODE)
    assert ("environment:" in text) is (answers is CODE)


@pytest.mark.parametrize("answers", [PATCH, CODE], ids=["patch", "coven-code"])
def test_other_people_s_linters_accept_separate_jobs(answers, tmp_path):
    path = tmp_path / ".github/workflows/coven.yml"
    path.parent.mkdir(parents=True)
    path.write_text(render_workflow(SEPARATE, config(answers), action_ref=SHA))
    programs = Path(sys.executable).parent

    for argv in (("actionlint",), ("zizmor", "--offline", "--quiet", "--persona=pedantic")):
        done = subprocess.run((programs / argv[0], *argv[1:], path), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_two_pins_of_the_action_are_a_bug():
    torn = SEPARATE.replace("0" * 40, SHA, 1)

    with pytest.raises(ValueError, match="same commit"):
        render_workflow(torn, config(PATCH), action_ref="a" * 40)


@pytest.mark.parametrize(
    ("wanted", "known", "chosen"),
    [
        (None, config(PATCH), QUICKSTART),
        (QUICKSTART, config(PATCH), QUICKSTART),
        (ISOLATED, config(PATCH), ISOLATED),
        (None, HOSTED, ISOLATED),
        (ISOLATED, HOSTED, ISOLATED),
        (QUICKSTART, HOSTED, None),
        (SELF_HOSTED, config(PATCH), SELF_HOSTED),
        (SELF_HOSTED, HOSTED, SELF_HOSTED),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_an_endpoint_decides_the_template(wanted, known, chosen):
    assert choose_template(wanted, known) == chosen


def test_the_next_steps_say_that_the_endpoint_has_to_know_the_repository():
    assert "coven-action enrol" in render_next_steps(HOSTED)
    assert "enrol" not in render_next_steps(config(PATCH))
