"""Every way out of a job takes redacted text: by its type where a port leads out, by a list where something is printed."""

import ast
import typing
from collections.abc import Sequence
from pathlib import Path

import pytest

from coven_action.core.redaction.redactor import Redacted
from coven_action.stages import ports

ROOT = Path(__file__).resolve().parent.parent / "src/coven_action"
OUTBOUND = (ports.GitHubWriter, ports.Job, ports.PublicationRepository)
# Words of ours that no text of an issue or an agent can be: each is built from numbers, hexadecimal digits, or a fixed set.
OURS = {
    ("create_pull_request", "head"): "a branch name of ours",
    ("create_pull_request", "base"): "a branch of the repository, as GitHub named it",
    ("create_check_run", "head_sha"): "a commit we made",
    ("create_check_run", "name"): "a constant",
    ("create_check_run", "external_id"): "run and attempt",
    ("create_check_run", "conclusion"): "one of a fixed set",
    ("find_check_runs", "head_sha"): "a commit",
    ("find_check_runs", "name"): "a constant",
    ("remove_label", "name"): "the label that GitHub says was applied, or a constant",
    ("set_output", "name"): "a constant",
    ("list_changes", "tip"): "a commit",
    ("read_patch", "tip"): "a commit",
    ("list_parents", "commit"): "a commit",
    ("read_file", "commit"): "a commit",
    ("read_file", "path"): "read in our own clone, not sent",
    ("commit", "tip"): "a commit",
    ("commit", "author"): "a familiar's name from the configuration, of the default branch",
    ("find_remote_shas", "branches"): "a branch name of ours, and one that GitHub named",
    ("fetch_history", "commits"): "commits",
    ("is_ancestor", "older"): "a commit",
    ("is_ancestor", "newer"): "a commit",
    ("find_conflicts", "one"): "a commit",
    ("find_conflicts", "other"): "a commit",
    ("find_labeller", "name"): "a constant",
    ("push", "commit"): "a commit we made",
    ("push", "branch"): "a branch name of ours",
    ("push", "expected_sha"): "a commit",
}


def outbound_methods():
    for port in OUTBOUND:
        for name, method in vars(port).items():
            if not name.startswith("_") and callable(method):
                yield name, method


@pytest.mark.parametrize(
    ("name", "method"), list(outbound_methods()), ids=lambda value: getattr(value, "__name__", value)
)
def test_what_leads_out_takes_redacted_text_or_words_of_ours(name, method):
    hints = typing.get_type_hints(method, include_extras=True)
    hints.pop("return", None)
    for parameter, hint in hints.items():
        if _holds_plain_text(hint):
            assert (name, parameter) in OURS, f"{name}({parameter}) takes plain text: make it Redacted"


def test_every_word_of_ours_is_still_a_parameter():
    known = {(name, parameter) for name, method in outbound_methods() for parameter in typing.get_type_hints(method)}
    assert set(OURS) <= known


def _holds_plain_text(hint):
    if hint is str:
        return True
    if hint is Redacted:
        return False
    return any(_holds_plain_text(inner) for inner in typing.get_args(hint))


@pytest.mark.parametrize(
    ("hint", "plain"),
    [
        (str, True),
        (Redacted, False),
        (Sequence[str], True),
        (str | None, True),
        (Sequence[Redacted], False),
        (int, False),
    ],
)
def test_plain_text_is_recognised_wherever_it_hides(hint, plain):
    assert _holds_plain_text(hint) == plain


# Modules that may print, and why what they print is fit to be seen. In a job only the first two run.
PRINTERS = {
    "adapters/actions.py": "takes Redacted alone; `mask` hands the runner a value to cover",
    "cli/boundary.py": "redacts every message and report",
    "cli/backup.py": "prints digests, sizes and places on its operator's terminal",
    "cli/check.py": "prints a checkout's own files on a person's terminal",
    "cli/admin.py": "prints accounts, caps and, once, the token it made, on its operator's terminal",
    "cli/admin_operations.py": "prints figures and digests on its operator's terminal",
    "cli/audit.py": "prints digests and counts; an export goes where its owner sends it",
    "cli/demo.py": "prints the demo's own repository",
    "cli/demo_parties.py": "prints which port is taken",
    "cli/demo_telling.py": "prints the demo's own repository",
    "cli/doctor.py": "prints facts of ours about the machine",
    "cli/enrol.py": "prints the names it was given",
    "cli/init.py": "prints what it wrote",
    "cli/main.py": "prints that it was interrupted",
    "cli/memory.py": "prints a checkout's own files on a person's terminal",
    "cli/memory_endpoint.py": "prints an account's own memory on its administrator's terminal",
    "cli/migrate.py": "prints versions",
    "cli/migrate_store.py": "prints digests and counts on its operator's terminal",
    "cli/probe.py": "prints facts of ours about the machine",
    "cli/restore.py": "prints digests, sizes and places on its operator's terminal",
    "cli/serve.py": "prints where it listens and, once, the token it made",
    "adapters/sandbox/inside/probe.py": "prints a report of facts to its parent",
    "runtimes/patch.py": "prints into the log, which is redacted by `run`",
    "adapters/runtime_supervisor.py": "prints a report of numbers to its parent",
}
PRINTING = {"print", "echo", "secho", "write_stdout"}


def _prints(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            if name in PRINTING:
                return True
        if isinstance(node, ast.Attribute) and node.attr in {"stdout", "stderr"}:
            owner = getattr(node.value, "id", "")
            if owner == "sys":
                return True
    return False


def test_only_the_listed_modules_print():
    printing = {
        str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py") if "demo_files" not in path.parts and _prints(path)
    }

    assert printing <= set(PRINTERS), "a new module prints: let it go through the Job port, or say here why it may"
