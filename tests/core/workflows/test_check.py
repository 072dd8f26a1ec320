"""`check` says what is wrong with a workflow that uses the action: fact, place, severity, remedy."""

from pathlib import Path

import pytest
import yaml

from coven_action.core.configuration.parsing import parse_config
from coven_action.core.trust.events import READERS
from coven_action.core.workflows.check import CHECKS, INPUTS, check_workflows
from coven_action.core.workflows.findings import render_count, render_finding
from coven_action.core.workflows.permissions import HARMLESS, NEEDED
from coven_action.core.workflows.reading import read_workflow
from coven_action.core.workflows.triggers import ANSWERED
from coven_action.core.workflows.uses import STAGES
from coven_action.error_codes import CODES

ROOT = Path(__file__).resolve().parents[3]
SHA = "5fda3b95a4ea91299a34e894583c3862153e4b97"
PATH = ".github/workflows/coven.yml"
TEMPLATE = (ROOT / "workflows-templates/quickstart.yml").read_text()
GOOD = TEMPLATE.replace(f"{'0' * 40} # set at release", f"{SHA} # v1.0.0")
PATCH = "version: 1\nfamiliars: {stitch: {runtime: patch}}\n"
CODE = "version: 1\nfamiliars: {cody: {model: anthropic/claude-sonnet-4-6}}\n"


def check(workflow=GOOD, config=PATCH, *, own=False, more=()):
    files = [read_workflow(workflow, path=PATH), *(read_workflow(text, path=f"more{n}") for n, text in enumerate(more))]
    return check_workflows(files, parse_config(config) if config else None, own=own)


def said(findings):
    return [(finding.code, finding.severity) for finding in findings]


def edit(old, new, text=GOOD):
    assert old in text, old
    return text.replace(old, new)


def test_the_quickstart_has_nothing_to_say_about_the_patch_runtime():
    assert check() == ()
    assert check(config=None) == ()


@pytest.mark.parametrize("demanded", ["none", "partial"])
def test_a_familiar_with_a_shell_is_told_that_less_than_a_sandbox_is_not_enough(demanded):
    (finding,) = check(edit("isolation: enforced}", f"isolation: {demanded}}}"), CODE)

    assert said([finding]) == [("runtime-needs-sandbox", "warning")]
    assert "cody will start only where the runner reaches more" in finding.message
    assert check(config=CODE) == ()


def test_a_path_and_no_isolation_are_accepted_as_what_the_maintainer_wants():
    workflow = edit("isolation: enforced}", "isolation: none, runtime-path: /opt/coven-code}")

    assert check(workflow, CODE) == ()


PERMISSIONS = """    permissions:
      actions: read # who triggered a re-run
      contents: write # push the familiar's branch
      issues: write # the status comment, and the label that is removed
      pull-requests: write # the draft pull request
      checks: write # the Check Run with the evidence
"""
GROUP = next(line for line in GOOD.splitlines() if "group:" in line)
CONCURRENCY = f"    concurrency:\n{GROUP}\n      queue: max\n"
ERROR, WARNING = "error", "warning"

# What is changed in the good workflow, and what is then said.
EDITS = [
    # pins
    (f"coven-action@{SHA} # v1.0.0", "coven-action@v1", [("action-not-pinned", ERROR)]),
    (f"coven-action@{SHA} # v1.0.0", "coven-action@main # v1", [("action-not-pinned", ERROR)]),
    (f"coven-action@{SHA} # v1.0.0", f"coven-action@{SHA[:7]} # v1", [("action-not-pinned", ERROR)]),
    (f"coven-action@{SHA} # v1.0.0", f"coven-action@{'0' * 40} # v1.0.0", [("action-placeholder", ERROR)]),
    (f"OpenCoven/coven-action@{SHA} # v1.0.0", "opencoven/COVEN-action@v1", [("action-not-pinned", ERROR)]),
    (f"coven-action@{SHA} # v1.0.0", f"coven-action@{SHA}", [("pin-without-version", WARNING)]),
    (f"coven-action@{SHA} # v1.0.0", f"coven-action@{SHA} #", [("pin-without-version", WARNING)]),
    ("upload-artifact@bbbca2ddaa5d8feaa63e36b76fdaad77386f024f # v7.0.0", "upload-artifact@v7", [("action-not-pinned", WARNING)]),
    ("actions/upload-artifact@bbbca2ddaa5d8feaa63e36b76fdaad77386f024f # v7.0.0", "./.github/actions/keep", []),
    # permissions
    (PERMISSIONS, "", [("permissions-missing", ERROR)]),
    (PERMISSIONS, "    permissions: read-all\n", [("permissions-missing", ERROR), ("permissions-excessive", WARNING)]),
    (PERMISSIONS, "    permissions: write-all\n", [("id-token-beside-agent", ERROR), ("permissions-excessive", WARNING)]),
    (PERMISSIONS, "    permissions: [a]\n", [("permissions-missing", ERROR)]),
    ("      checks: write", "      checks: read", [("permissions-missing", ERROR)]),
    ("      checks: write", "      checks: everything", [("permissions-missing", ERROR)]),
    ("      checks: write", "      checks: [write]", [("permissions-missing", ERROR)]),
    ("      checks: write", "      packages: write\n      checks: write", [("permissions-excessive", WARNING)]),
    ("      actions: read", "      actions: write", [("permissions-excessive", WARNING)]),
    ("      checks: write", "      id-token: write\n      checks: write", [("id-token-beside-agent", ERROR)]),
    # inputs
    ("isolation: enforced}", "isolation: strict}", [("isolation-unknown", ERROR)]),
    ("isolation: enforced}", 'isolation: "${{ vars.ISOLATION }}"}', []),
    ("isolation: enforced}", "isolaton: none}", [("unknown-input", ERROR)]),
    ("isolation: enforced}", "stage: check}", [("invalid-value", ERROR)]),
    ("isolation: enforced}", "stage: all}", []),
    ("isolation: enforced}", 'stage: "${{ inputs.stage }}"}', []),
    ('with: {model-api-key: "${{ secrets.MODEL_API_KEY }}", isolation: enforced}', "with: nothing", []),
    # the model key
    ('"${{ secrets.MODEL_API_KEY }}"', "sk-ant-1234", [("secret-in-workflow", ERROR)]),
    ('"${{ secrets.MODEL_API_KEY }}"', '""', []),
    ('"${{ secrets.MODEL_API_KEY }}"', '"${{ inputs.key }}"', []),
    ("    environment: {name: coven, deployment: false}", "    #", [("key-outside-environment", WARNING)]),
    ("    runs-on:", '    env: {KEY: "${{ secrets.KEY }}", A: b, B: [c]}\n    runs-on:', [("secret-beside-agent", WARNING)]),
    ("jobs:\n", 'env: {KEY: "${{ Secrets.KEY }}"}\njobs:\n', [("secret-beside-agent", WARNING)]),
    # checkout
    ("persist-credentials: false", "persist-credentials: true", [("checkout-keeps-token", ERROR)]),
    ("persist-credentials: false, ", "", [("checkout-keeps-token", ERROR)]),
    ("fetch-depth: 0", "fetch-depth: 1", [("checkout-shallow", ERROR)]),
    (", fetch-depth: 0", "", [("checkout-shallow", ERROR)]),
    ("actions/checkout@", "acme/checkout@", [("checkout-missing", ERROR)]),
    # concurrency
    (CONCURRENCY, "", [("concurrency-missing", WARNING)]),
    (CONCURRENCY, "    concurrency: coven\n", [("concurrency-missing", WARNING)]),
    (CONCURRENCY, '    concurrency: "${{ github.run_id }}"\n', [("runs-cancelled", WARNING)]),
    ("      queue: max", "      queue: single", [("runs-cancelled", WARNING)]),
    ("      queue: max", "      cancel-in-progress: true", [("runs-cancelled", WARNING)]),
    ("      queue: max", "      queue: max\n      cancel-in-progress: false", []),
    # time and place
    ("timeout-minutes: 45", "timeout-minutes: 30", [("timeout-too-short", ERROR)]),
    ("timeout-minutes: 45", 'timeout-minutes: "${{ vars.MINUTES }}"', []),
    ("    timeout-minutes: 45\n", "", []),
    ("runs-on: ubuntu-24.04", "runs-on: windows-2025", [("platform-not-supported", ERROR)]),
    ("runs-on: ubuntu-24.04", "runs-on: [self-hosted, Windows]", [("platform-not-supported", ERROR)]),
    ("runs-on: ubuntu-24.04", "runs-on: {group: big, labels: windows-x}", [("platform-not-supported", ERROR)]),
    ("    runs-on: ubuntu-24.04\n", "", []),
    # triggers
    ("types: [labeled]", "types: labeled", []),
    ("types: [labeled]", "types: [opened, labeled]", [("trigger-not-answered", WARNING)]),
    ("issues: {types: [labeled]}", "issues:", [("trigger-not-answered", WARNING)]),
    ("issues: {types: [labeled]}", "issues: {types: [assigned]}", [("trigger-missing", ERROR)]),
    ("  issues: {types: [labeled]}\n", "", [("trigger-missing", ERROR)]),
    ("  issues: {types: [labeled]}\n", "  issues: {types: [labeled]}\n  push:\n", [("trigger-not-answered", WARNING)]),
    ("  issues: {types: [labeled]}\n", "  issues: {types: [labeled]}\n  pull_request_target:\n", [("unsafe-trigger", ERROR)]),
    ("'coven:')\n    runs-on", "'bot:')\n    runs-on", [("condition-never-holds", ERROR)]),
    ("        id: coven\n", "        id: coven\n        if: github.event_name == 'push'\n", [("condition-never-holds", ERROR)]),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), EDITS)
def test_each_slip_is_told(old, new, expected):
    findings = check(edit(old, new))

    assert said(findings) == expected
    for finding in findings:
        assert finding.code in CODES
        assert finding.path == PATH
        assert finding.remedy


ON = GOOD[GOOD.index("on:") : GOOD.index("permissions:")]


@pytest.mark.parametrize(
    ("on", "expected"),
    [
        ("on: workflow_call\n", []),
        ("on: [issues, workflow_dispatch]\n", [("trigger-not-answered", WARNING)]),
        ("on: issues\n", [("trigger-not-answered", WARNING)]),
        ("on: [pull_request_target, [x]]\n", [("unsafe-trigger", ERROR), ("trigger-missing", ERROR)]),
        ("", [("trigger-missing", ERROR)]),
        ("on:\n", [("trigger-missing", ERROR)]),
    ],
)
def test_every_form_of_on_is_read(on, expected):
    assert sorted(said(check(edit(ON, on)))) == sorted(expected)


def test_permissions_of_the_workflow_hold_where_the_job_has_none():
    granted = "permissions: {contents: write, issues: write, pull-requests: write, checks: write}"

    assert check(edit(PERMISSIONS, "", edit("permissions: {}", granted))) == ()
    assert said(check(edit(PERMISSIONS, "", edit("permissions: {}\n", "")))) == [("permissions-missing", ERROR)]


def test_a_place_is_a_line_and_a_column_and_the_remedy_the_lines_to_write():
    (finding,) = check(edit("      checks: write", "      statuses: read\n      #"))[:1]
    text = render_finding(finding)

    assert text.startswith(f'{PATH}:14:5: error[permissions-missing]: The job "familiar" lacks')
    assert "      checks: write" in text
    assert "checks: write." in text


def test_a_key_that_is_needed_and_not_passed_is_an_error():
    workflow = edit('model-api-key: "${{ secrets.MODEL_API_KEY }}", ', "", edit("enforced}", "none, runtime-path: /x}"))

    assert said(check(workflow, CODE)) == [("missing-model-key", ERROR)]
    assert check(workflow) == ()


MANY = """version: 1
familiars:
  cody: {runtime: patch, assignee: acme-coven}
  nova: {runtime: patch}
routing:
  - {when: {label: x, assignee: acme-coven}, familiar: cody}
  - {when: {label: "coven:fix"}, familiar: cody}
  - {when: {assignee: acme-coven}, familiar: cody}
"""


def test_what_the_routing_waits_for_must_be_able_to_start_a_job():
    findings = check(config=MANY)

    assert said(findings) == [("trigger-missing", ERROR), ("trigger-missing", WARNING)]
    assert findings[0].message == 'No workflow is started for the assignment to "acme-coven".'
    assert findings[1].message == "No workflow is started for the command `/nova fix`."
    assert findings[1].remedy == "Write below `on:`\n    issue_comment: {types: [created]}"


def test_one_workflow_of_several_is_enough():
    other = edit("{types: [labeled]}", "{types: [assigned]}\n  issue_comment: {types: [created]}")
    label_only = "github.event_name != 'issues' || startsWith(github.event.label.name, 'coven:')\n"

    shut = check(config=MANY, more=[other])
    assert said(shut) == [("condition-never-holds", ERROR)]
    assert "the assignment" in shut[0].message
    assert check(config=MANY, more=[edit(label_only, "github.event.action != 'labeled'\n", other)]) == ()


THREE_JOBS = f"""on: {{issues: {{types: [labeled]}}}}
permissions: {{}}
jobs:
  plan:
    runs-on: ubuntu-24.04
    timeout-minutes: 5
    permissions: {{contents: read, issues: write, pull-requests: read}}
    concurrency: {{group: "plan-${{{{ github.run_id }}}}", queue: max}}
    steps:
      - uses: OpenCoven/coven-action@{SHA} # v1
        with: {{stage: plan, isolation: enforced}}
  run:
    runs-on: ubuntu-24.04
    timeout-minutes: 45
    environment: coven
    permissions: {{contents: read}}
    concurrency: {{group: "run-${{{{ github.run_id }}}}", queue: max}}
    steps:
      - uses: actions/checkout@{SHA} # v7
        with: {{persist-credentials: false, fetch-depth: 0}}
      - uses: OpenCoven/coven-action@{SHA} # v1
        with: {{stage: run, model-api-key: "${{{{ secrets.MODEL_API_KEY }}}}"}}
  publish:
    runs-on: ubuntu-24.04
    timeout-minutes: 5
    permissions: {{contents: write, issues: write, pull-requests: write, checks: write}}
    env: {{OTHER: "${{{{ secrets.OTHER }}}}"}}
    concurrency: {{group: "publish-${{{{ github.run_id }}}}", queue: max}}
    steps:
      - uses: OpenCoven/coven-action@{SHA} # v1
        with: {{stage: publish}}
"""


def test_a_job_is_judged_by_its_stages():
    assert check(THREE_JOBS) == ()


def test_a_file_that_cannot_be_read_is_told_only_where_it_names_the_action():
    broken = check(f"uses: OpenCoven/coven-action@{SHA}\n\tx")

    assert said(broken) == [("workflow-unreadable", ERROR)]
    assert check("name: [other") == ()
    assert said(check(edit("name: Coven\n", "name: Coven\nname: Coven\n"))) == [("workflow-unreadable", ERROR)]


SHAPES = [
    "",
    "- a\n",
    "jobs: [a]\n",
    "jobs: {a: b}\n",
    "jobs: {a: {steps: b}}\n",
    "jobs: {a: {steps: [b, {uses: [c]}, {run: d}, {uses: acme/other@v1}]}}\n",
    "jobs: {a: {steps: [{uses: ./}]}}\n",
]


@pytest.mark.parametrize("text", SHAPES)
def test_a_workflow_without_the_action_is_nobody_s_business_here(text):
    assert check(text) == ()


def test_the_folder_itself_is_the_action_in_its_own_repository():
    local = edit(f"OpenCoven/coven-action@{SHA} # v1.0.0", "./")

    assert check(edit("fetch-depth: 0", "fetch-depth: 1", local)) == ()
    assert said(check(edit("fetch-depth: 0", "fetch-depth: 1", local), own=True)) == [("checkout-shallow", ERROR)]


def test_the_words_of_a_file_reach_the_terminal_escaped():
    workflow = edit("isolation: enforced}", '"bad\\e[31m": x}')

    (finding,) = check(workflow)
    assert "\x1b" not in render_finding(finding)


def test_the_count_names_both_kinds():
    assert render_count(0, 1) == "no errors, 1 warning."
    assert render_count(2, 0) == "2 errors, no warnings."


def test_the_tables_agree_with_the_action():
    action = yaml.safe_load((ROOT / "action.yml").read_text())

    assert tuple(action["inputs"]) == INPUTS
    assert set(NEEDED) == set(STAGES)
    assert len(CHECKS) == len(set(CHECKS))
    answered = {}
    for event_name, action_name in READERS:
        answered.setdefault(event_name, set()).update({action_name} - {""})
    assert answered == {name: set(types) for name, types in ANSWERED.items()}


def test_the_quickstart_grants_what_its_stages_need_and_nothing_else():
    granted = yaml.safe_load(TEMPLATE)["jobs"]["familiar"]["permissions"]
    needed = {}
    for stage in NEEDED.values():
        for name, level in stage.items():
            needed[name] = max(level, needed.get(name, "none"), key=("none", "read", "write").index)

    assert granted == needed | HARMLESS


ISOLATED = (
    (ROOT / "workflows-templates/isolated.yml").read_text().replace("0" * 40 + " # set at release", f"{SHA} # v1.0.0")
)
HOSTED = PATCH + "hosted: {url: https://coven.example.com}\n"


def test_the_isolated_template_has_nothing_to_say_with_and_without_an_endpoint():
    assert check(ISOLATED) == ()
    assert check(ISOLATED, HOSTED) == ()
    assert check(ISOLATED, CODE) == ()


def test_an_endpoint_needs_jobs_of_their_own():
    (finding,) = check(config=HOSTED)

    assert (finding.code, finding.severity) == ("endpoint-in-one-job", "error")
    assert "isolated.yml" in finding.remedy


def test_a_stage_that_shares_the_familiar_s_job_is_one_job_too():
    both = edit("stage: run", 'stage: "${{ matrix.stage }}"', ISOLATED)

    assert "endpoint-in-one-job" in [finding.code for finding in check(both, HOSTED)]


GRANT = "      id-token: write # asks the endpoint; needed only where .github/coven.yml says `hosted`\n"


def test_a_job_that_may_not_ask_for_an_id_token_is_warned_of():
    workflow = edit(GRANT, "", ISOLATED)

    (finding,) = check(workflow, HOSTED)
    assert (finding.code, finding.severity) == ("id-token-missing", "warning")
    assert '"plan"' in finding.message
    assert check(workflow) == ()


@pytest.mark.parametrize("why", ["whoever works here", "what runs here"])
def test_a_job_with_foreign_code_may_not_ask_for_one(why):
    granted = f"      contents: read # the checkout; {why}"
    workflow = edit(granted, f"      id-token: write\n{granted}", ISOLATED)

    assert said(check(workflow, HOSTED)) == [("id-token-beside-agent", "error")]


CHECKED = PATCH + "verify: [{name: tests, run: make test, timeout: 40m}]\n"


def test_a_job_must_last_for_the_checks_on_both_trees():
    (finding,) = check(ISOLATED, CHECKED)

    assert (finding.code, finding.severity) == ("timeout-too-short", "error")
    assert "the timeouts of verify let it work for 80" in finding.message
    assert "timeout-minutes: 95" in finding.remedy


def test_in_one_job_the_times_of_familiar_and_checks_add_up():
    (finding,) = check(config=CHECKED)

    assert "limits.time and the timeouts of verify let it work for 110" in finding.message


def test_a_job_with_checks_alone_needs_the_whole_history_too():
    verify = ISOLATED.index("  verify:")
    shallow = ISOLATED[:verify] + ISOLATED[verify:].replace("fetch-depth: 0", "fetch-depth: 1", 1)

    assert said(check(shallow)) == [("checkout-shallow", "error")]
