"""The brief and the result of the runtime contract."""

import copy
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from coven_action.core.contract.contract import (
    MAX_RESULT_BYTES,
    AddressReviewComment,
    Brief,
    FamiliarReference,
    FixIssue,
    RepositoryReference,
    RespondToMention,
    ReviewContext,
    ReviewContextFile,
    Workspace,
    parse_result,
)
from coven_action.core.memory.policy_block import BranchScope, RepositoryScope, TenantScope, disabled_memory_policy
from coven_action.errors import RuntimeFault
from tests.fuzzing import examples

CONTRACTS = Path(__file__).parents[3] / ".." / "shared" / "contracts"
POLICY = disabled_memory_policy(
    tenant_scope=TenantScope(account_id=7, account_login="acme"),
    repo_scope=RepositoryScope(
        repository_id=9, owner="acme", name="billing", visibility="private", default_branch="main"
    ),
    branch_scope=BranchScope(base_ref="main", head_ref="main", same_repository=True),
    trust_scope="maintainer",
    reason="memory is not enabled in .github/coven.yml",
)
REVIEW = {
    "mode": "none",
    "evidence_status": "not_applicable",
    "reviewed_files": [],
    "supporting_files": [],
    "findings": [],
    "tests_run": [],
    "no_findings_reason": None,
    "limitations": [],
}
RESULT = {
    "contract_version": "3",
    "status": "success",
    "exit_reason": None,
    "summary": "Done.",
    "pr_body": "It is done.",
    "branch": "main",
    "commits": [{"sha": "abc", "message": "m"}],
    "files_changed": ["a.py"],
    "review": REVIEW,
}
MEMORY_USED = {
    "enabled": True,
    "read": [{"id": "mem_1", "scope": "repo"}],
    "proposed": [{"key": "a/b", "summary": "s", "scope": "repo", "approval": "pending"}],
    "rejected": [{"summary": "s", "scope": "repo", "reason": "pii"}],
}
ENTRY = dict.fromkeys(
    ("visibility", "source", "source_ref", "source_repo", "source_commit", "source_actor", "session_id",
     "transcript_ref", "created_by")
) | {"id": "mem_1", "trust": "contributor-input", "scope": "project", "provenance": ["a"]}  # fmt: skip


def schema_of(name):
    path = CONTRACTS / name
    if not path.exists():
        pytest.skip("the contract's schemas are not at hand")
    return json.loads(path.read_text())


def is_valid(document, name):
    jsonschema = pytest.importorskip("jsonschema")
    return jsonschema.Draft202012Validator(schema_of(name)).is_valid(document)


def brief(task, **changes):
    return Brief(
        **{
            "trigger": "issue_assigned",
            "repo": RepositoryReference(
                owner="acme", name="billing", clone_url="https://github.com/acme/billing.git", default_branch="main"
            ),
            "task": task,
            "familiar": FamiliarReference(id="cody", display_name="Cody", skills=("debugging",)),
            "memory_policy": POLICY,
            **changes,
        }
    )


TASKS = [
    FixIssue(issue_number=1, issue_title="t", issue_body="b"),
    AddressReviewComment(pr_number=2, comment_body="b", diff_hunk="@@ -1 +1 @@"),
    AddressReviewComment(pr_number=2, comment_body="b"),
    RespondToMention(issue_number=1, comment_body="b"),
]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    "extra",
    [
        {},
        {
            "audit_instruction": "Write a hand-off file.",
            "review_context": ReviewContext(kind="pull_request", files=(ReviewContextFile(filename="a.py"),)),
        },
    ],
)
def test_a_brief_without_its_memory_policy_is_a_valid_version_3_document(task, extra):
    document = brief(task, **extra).at("/tmp/tree").document()
    assert json.loads(json.dumps(document)) == document
    assert document["contract_version"] == "3"
    assert document["workspace"] == {"root": "/tmp/tree"}
    assert task.text == "b"
    policy = document.pop("memory_policy")
    assert (policy["enabled"], policy["read_scopes"], policy["write_scopes"]) == (False, [], [])
    assert is_valid(document, "v3/session-brief.schema.json")


def test_memory_policy_is_the_only_key_the_schema_does_not_know():
    document = brief(TASKS[0]).at("/w").document()
    allowed = schema_of("v3/session-brief.schema.json")["properties"]
    assert set(document) - set(allowed) == {"memory_policy"}


def test_the_workspace_stays_open_until_the_run_fills_it_in_and_changes_nothing_else():
    planned = brief(TASKS[0])
    assert planned.workspace == Workspace(root=None)
    with pytest.raises(ValueError, match="no workspace"):
        planned.document()
    filled = planned.at("/w")
    assert filled.model_copy(update={"workspace": Workspace()}) == planned


@pytest.mark.parametrize("task", TASKS)
def test_a_brief_survives_its_way_through_a_document(task):
    planned = brief(task)
    assert Brief.model_validate_json(planned.model_dump_json()) == planned
    assert Brief.model_validate(json.loads(planned.model_dump_json())) == planned


@pytest.mark.parametrize(
    "broken",
    [
        {"trigger": "push"},
        {"contract_version": "2"},
        {"memory_policy": None},
        {"surprise": 1},
        {"task": {"kind": "fix_issue", "issue_number": -1, "issue_title": "t", "issue_body": "b"}},
        {"task": {"kind": "review", "issue_number": 1}},
        {"repo": {"owner": "a", "name": "b", "clone_url": "https://token@github.com/a/b", "default_branch": "main"}},
    ],
)
def test_a_brief_that_breaks_the_contract_is_refused(broken):
    document = {**json.loads(brief(TASKS[0]).model_dump_json()), **broken}
    with pytest.raises(ValidationError):
        Brief.model_validate(document)


def test_a_brief_always_carries_a_memory_policy():
    document = json.loads(brief(TASKS[0]).model_dump_json())
    del document["memory_policy"]
    with pytest.raises(ValidationError):
        Brief.model_validate(document)


# --- results


@pytest.mark.parametrize("version", ["2", "3"])
def test_the_published_examples_are_read(version):
    document = schema_of(f"v{version}/result.example.json")
    result = parse_result(json.dumps(document).encode())
    assert result.contract_version == version
    assert result.files_changed == ["src/auth/refresh.rs"]
    assert result.unknown_fields == ()


@pytest.mark.parametrize("version", ["2", "3"])
def test_memory_reports_are_tolerated_in_either_version(version):
    document = {
        **RESULT,
        "contract_version": version,
        "memory_used": MEMORY_USED,
        "review": {**REVIEW, "memory": {"domains_loaded": ["default-branch"], "entries": [ENTRY]}},
    }
    result = parse_result(json.dumps(document).encode())
    assert result.memory_used.proposed[0].key == "a/b"
    assert result.review.memory.entries[0].id == "mem_1"
    assert result.unknown_fields == ()


def test_unknown_fields_are_recorded_and_dropped():
    document = {
        **RESULT,
        "unknown_fields": ["x"],
        "new": {"deep": 1},
        "commits": [{"sha": "a", "message": "m", "x": 1}],
    }
    document["review"] = {**REVIEW, "score": 3}
    result = parse_result(json.dumps(document).encode())
    assert set(result.unknown_fields) == {"unknown_fields", "new", "commits.0.x", "review.score"}
    assert result.commits[0].sha == "a"


def test_unknown_fields_are_bounded():
    document = {**RESULT, **{f"{number}-{'x' * 300}": 1 for number in range(500)}}
    result = parse_result(json.dumps(document).encode())
    assert len(result.unknown_fields) == 100
    assert max(map(len, result.unknown_fields)) == 200


@pytest.mark.parametrize("version", ["1", "4", "03", 3, 3.0, True, None, ["3"], {}, "3" * 1000])
def test_other_versions_are_refused_by_name(version):
    with pytest.raises(RuntimeFault) as refused:
        parse_result(json.dumps({**RESULT, "contract_version": version}).encode())
    assert refused.value.code == "contract-version"
    assert len(refused.value.message) < 200


TEXT = json.dumps(RESULT)
MALFORMED = {
    "empty": b"",
    "truncated": TEXT[:-20].encode(),
    "not JSON": b"done",
    "list": b"[]",
    "string": b'"3"',
    "no version": b"{}",
    "not UTF-8": b'{"contract_version": "\xff"}',
    "UTF-16": TEXT.encode("utf-16"),
    "duplicate key": b'{"contract_version": "3", "contract_version": "2"}',
    "duplicate key inside": TEXT.replace('"sha": "abc"', '"sha": "abc", "sha": "def"').encode(),
    "NaN": TEXT.replace('"Done."', "NaN").encode(),
    "infinity": TEXT.replace('"Done."', "-Infinity").encode(),
    "infinite float": TEXT.replace('"Done."', "1e999").encode(),
    "huge integer": TEXT.replace('"Done."', "9" * 5000).encode(),
    "deep": TEXT.replace('"Done."', "[" * 100000 + "]" * 100000).encode(),
    "deep and open": b"[" * 1000000,
    "lone surrogate": TEXT.replace("Done.", "\\ud800").encode(),
    "lone surrogate in a key": TEXT.replace('"summary"', '"x\\udfff": 1, "summary"').encode(),
    "too large": TEXT.replace("Done.", "x" * MAX_RESULT_BYTES).encode(),
    "trailing": TEXT.encode() + b"{}",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_result_is_refused(name):
    with pytest.raises(RuntimeFault) as refused:
        parse_result(MALFORMED[name])
    assert refused.value.code == "malformed-result"


def test_surrogate_pairs_and_unfinished_strings_are_told_apart():
    assert parse_result(TEXT.replace("Done.", "\\ud83d\\ude00 1.5").encode()).summary == "\N{GRINNING FACE} 1.5"
    assert parse_result((TEXT[:-1] + ', "x": 1.5}').encode()).unknown_fields == ("x",)


def test_faults_are_named_by_place_without_the_hostile_values():
    document = {**RESULT, "status": "secret-value", "commits": "x", "summary": 1, "branch": 2, "hidden": 1}
    with pytest.raises(RuntimeFault) as refused:
        parse_result(json.dumps(document).encode())
    assert "status" in refused.value.message
    assert "and 1 more" in refused.value.message
    assert "secret-value" not in refused.value.message
    with pytest.raises(RuntimeFault, match="it: Value error, success has no exit_reason"):
        parse_result(json.dumps({**RESULT, "contract_version": "2", "exit_reason": "infra_error"}).encode())


def change(path, value):
    document = copy.deepcopy(RESULT)
    place = document
    for step in path[:-1]:
        place = place[step]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return document


FINDING = {"severity": "low", "file": "a", "line": 1, "title": "t", "body": "b", "recommendation": None}
CLAIM = {"command": "c", "status": "passed", "output_summary": None}
CHANGES = [
    *[((key,), ...) for key in RESULT],
    *[(("review", key), ...) for key in REVIEW],
    *[((key,), value) for key in RESULT for value in (None, 1, "x", [], {}, [1], True)],
    *[(("review", key), value) for key in REVIEW for value in (None, 1, "x", [], {}, ["x"])],
    *[(("review", "mode"), mode) for mode in ("pull_request", "review_comment")],
    *[(("review", "evidence_status"), status) for status in ("complete", "partial", "missing")],
    *[(("review", "findings"), [{**FINDING, "line": line}]) for line in (None, 0, 1, "1")],
    *[(("review", "tests_run"), [{**CLAIM, "status": status}]) for status in ("passed", "ok")],
    *[(("status",), status) for status in ("failure", "partial", "needs_input")],
    *[(("exit_reason",), reason) for reason in ("test_failure", "git_conflict", "other")],
]  # fmt: skip


@pytest.mark.parametrize("version", ["2", "3"])
def test_what_the_schema_accepts_is_read_and_nothing_else(version):
    for path, value in CHANGES:
        document = change(path, value)
        if path != ("contract_version",):
            document["contract_version"] = version
        try:
            parse_result(json.dumps(document).encode())
            accepted = True
        except RuntimeFault:
            accepted = False
        said = document.get("contract_version")
        valid = said in ("2", "3") and is_valid(document, f"v{said}/result.schema.json")
        assert accepted == valid, (path, value)


@pytest.mark.parametrize("status", ["failure", "needs_input"])
def test_version_2_asks_a_failure_for_its_reason_and_version_3_does_not(status):
    document = {**RESULT, "status": status, "exit_reason": None}

    with pytest.raises(RuntimeFault, match=f"{status} needs an exit_reason"):
        parse_result(json.dumps({**document, "contract_version": "2"}).encode())
    assert parse_result(json.dumps({**document, "contract_version": "3"}).encode()).status == status


def test_version_2_ties_the_evidence_of_a_review_to_its_mode():
    review = {**RESULT["review"], "mode": "none", "evidence_status": "complete"}

    with pytest.raises(RuntimeFault, match="does not fit"):
        parse_result(json.dumps({**RESULT, "contract_version": "2", "review": review}).encode())


@pytest.mark.parametrize(
    ("mode", "status", "files", "valid"),
    [
        ("pull_request", "complete", ["a"], ("2", "3")),
        ("pull_request", "complete", [], ()),
        ("pull_request", "missing", [], ("2", "3")),
        ("review_comment", "not_applicable", ["a"], ("3",)),
        ("none", "partial", [], ("3",)),
    ],
)
def test_a_review_must_have_evidence_or_say_that_it_has_none(mode, status, files, valid):
    for version in ("2", "3"):
        review = {**REVIEW, "mode": mode, "evidence_status": status, "reviewed_files": files}
        document = {**RESULT, "contract_version": version, "review": review}
        if version in valid:
            assert parse_result(json.dumps(document).encode()).review.mode == mode
        else:
            with pytest.raises(RuntimeFault):
                parse_result(json.dumps(document).encode())


@examples(200)
@given(st.integers(min_value=0, max_value=len(TEXT)), st.binary(max_size=6), st.integers(min_value=0, max_value=8))
def test_no_damage_crashes_the_reader(position, inserted, removed):
    data = TEXT.encode()
    try:
        parse_result(data[:position] + inserted + data[position + removed :])
    except RuntimeFault as fault:
        code = fault.code
    else:
        code = None
    assert code in {None, "malformed-result", "contract-version"}
