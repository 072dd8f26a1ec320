"""Every way out of a stage takes redacted text: by its type where a port leads out, by a list where something is printed.

Each protocol, each port and each function that writes or prints is found by looking, not by being named here: what is new
fails until it takes `Redacted`, or until somebody says here why it may take anything else.
"""

import ast
import collections.abc
import dataclasses
import importlib
import inspect
import json
import pkgutil
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from pydantic import BaseModel

from coven_action import stages
from coven_action.adapters import hosted_endpoint
from coven_action.adapters.hosted_endpoint import HostedEndpoint
from coven_action.core.endpoint.wire import (
    AuditHead,
    BundleRequest,
    EventsRequest,
    FinishRequest,
    ProposalsRequest,
    ProposedEntry,
    RunEvent,
    RunReport,
    UsesRequest,
    Validation,
    ValidationsRequest,
)
from coven_action.core.redaction.redactor import Redacted, Redactor
from coven_action.stages import history, ports
from tests.core.memory.values import TOKEN, policy

ROOT = Path(__file__).resolve().parent.parent / "src/coven_action"


# --- ports


def list_stage_modules():
    names = [f"{stages.__name__}.{module.name}" for module in pkgutil.iter_modules(stages.__path__)]
    return [importlib.import_module(name) for name in names]


MODULES = list_stage_modules()
PROTOCOLS = {
    value
    for module in MODULES
    for value in vars(module).values()
    if inspect.isclass(value) and getattr(value, "_is_protocol", False) and value.__module__ == module.__name__
}
OUTBOUND = (
    ports.GitHubReader,
    ports.GitHubWriter,
    ports.Job,
    ports.PublicationRepository,
    ports.PublicationRepositories,
    ports.TreeSource,
    ports.Witness,
    ports.KeptOutboxes,
    ports.Documents,
    history.History,
)
"""What they are given leaves the machine, or is read by whoever may read the run's artifacts."""

INSIDE = {
    ports.Clock: "is given nothing",
    ports.Trees: "reads commits that were fetched",
    ports.Workspace: "is the familiar's folder, and our own git beside it",
    ports.Workspaces: "makes that folder",
    ports.Confinement: "starts programs on this machine; what they print comes back to the stage",
    ports.ModelGateway: "is asked how much was used",
    ports.ModelGateways: "hands the key to the gateway, which alone knows it and covers it in what it says",
    ports.CheckTree: "reads a tree of this machine",
    ports.CheckTrees: "makes that tree",
    ports.RuntimeInstaller: "is given nothing",
    ports.Renderer: "returns what it renders to the stage",
    history.ConversationPorts: "hands out ports that are looked at by themselves",
    history.PlanConversation: "is ours, and speaks through History",
}

COMMIT = "a commit"
CONSTANT = "a constant"
BRANCH = "a branch, by a name of ours or as GitHub named it"
KEY = "numbers and constants of ours, by `build_key`"
COVERED = "covered where it is sent: see below"
# Words of ours that no text of an issue or an agent can be: each is built from numbers, hexadecimal digits, or a fixed set.
OURS: dict[tuple[type, str], dict[str, str]] = {
    (ports.GitHubReader, "find_permission"): {"login": "an account, as GitHub named it"},
    (ports.GitHubReader, "get_branch_sha"): {"branch": BRANCH},
    (ports.GitHubReader, "find_file"): {"path": CONSTANT, "ref": COMMIT},
    (ports.GitHubReader, "find_edits"): {"comment_node_id": "an id of GitHub's"},
    (ports.GitHubReader, "find_branches"): {"prefix": BRANCH},
    (ports.GitHubReader, "get_head"): {"sha": COMMIT},
    (ports.GitHubReader, "find_pull_requests"): {"branch": BRANCH},
    (ports.GitHubWriter, "create_pull_request"): {"head": BRANCH, "base": BRANCH},
    (ports.GitHubWriter, "create_check_run"): {
        "head_sha": "a commit we made",
        "name": CONSTANT,
        "external_id": "run and attempt",
        "conclusion": "one of a fixed set",
        "annotations": "changed paths, in which the verification found no secret; what stands beside them is Redacted",
    },
    (ports.GitHubWriter, "find_check_runs"): {"head_sha": COMMIT, "name": CONSTANT, "external_id": "run and attempt"},
    (ports.GitHubWriter, "remove_label"): {"name": "the label that GitHub says was applied, or a constant"},
    (ports.GitHubWriter, "find_labeller"): {"name": CONSTANT},
    (ports.Job, "set_output"): {"name": CONSTANT},
    (ports.PublicationRepository, "list_changes"): {"tip": COMMIT},
    (ports.PublicationRepository, "read_patch"): {"tip": COMMIT},
    (ports.PublicationRepository, "list_parents"): {"commit": COMMIT},
    (ports.PublicationRepository, "read_file"): {"commit": COMMIT, "path": "read in our own clone, not sent"},
    (ports.PublicationRepository, "commit"): {
        "tip": COMMIT,
        "author": "a familiar's name from the configuration, of the default branch",
    },
    (ports.PublicationRepository, "find_remote_shas"): {"branches": BRANCH},
    (ports.PublicationRepository, "fetch_history"): {"commits": COMMIT},
    (ports.PublicationRepository, "is_ancestor"): {"older": COMMIT, "newer": COMMIT},
    (ports.PublicationRepository, "find_conflicts"): {"one": COMMIT, "other": COMMIT},
    (ports.PublicationRepository, "push"): {"commit": "a commit we made", "branch": BRANCH, "expected_sha": COMMIT},
    (ports.PublicationRepositories, "clone"): {"base_sha": COMMIT},
    (ports.TreeSource, "fetch"): {"commits": COMMIT},
    (ports.KeptOutboxes, "find"): {"name": CONSTANT},
    (ports.Documents, "read"): {"name": CONSTANT},
    (ports.Documents, "write"): {
        "data": "handed over to a later stage, which judges it: docs/isolation.md says who can read it until then",
    },
    (ports.Documents, "remove"): {"name": CONSTANT},
    (ports.Documents, "open_log"): {"name": CONSTANT},
    (ports.Documents, "make_folder"): {"name": CONSTANT},
    (ports.Documents, "measure"): {"name": CONSTANT},
    (history.History, "open"): {"witness": COVERED},
    (history.History, "report"): {"report": COVERED, "key": KEY},
    (history.History, "fetch_bundle"): {"request": COVERED, "key": KEY},
    (history.History, "validate"): {"request": COVERED, "key": KEY},
    (history.History, "deliver"): {"document": COVERED, "key": KEY},
    (history.History, "relay"): {"request": "envelopes, which were covered before they were kept", "key": KEY},
}


def test_every_port_is_known_to_lead_out_or_to_stay_inside():
    assert not set(OUTBOUND) & set(INSIDE)
    assert {*OUTBOUND, *INSIDE} == PROTOCOLS, "a new port: say whether what it is given leaves"


def test_every_part_of_a_stages_outside_world_is_such_a_port():
    """A callable that is handed to a stage would be a way out that no protocol describes."""
    known = {*OUTBOUND, *INSIDE, Redactor}
    plain = {
        (kind.__name__, name)
        for kind in list_port_records()
        for name, hint in typing.get_type_hints(kind).items()
        if not is_made_of(hint, known) and (_is_function(hint) or _holds_plain_text(hint))
    }

    assert plain == {
        ("AttemptPorts", "write"),  # the log, by way of the redactor's stream
        ("RuntimePorts", "patch_program"),  # how a program of ours is started
        ("RuntimePorts", "patch_binds"),  # what that may read
        ("RuntimePorts", "model_key"),  # for the gateway
    }


def list_port_records():
    return {
        value
        for module in MODULES
        for name, value in vars(module).items()
        if name.endswith("Ports") and dataclasses.is_dataclass(value)
    }


def is_made_of(hint: Any, known: set[type]) -> bool:
    """Whether a part is a port, gives one, or is a record of ports."""
    if _is_function(hint):
        return typing.get_args(hint)[1] in known
    return hint in known or hint in list_port_records()


def _is_function(hint: Any) -> bool:
    return typing.get_origin(hint) is collections.abc.Callable


def outbound_methods() -> Iterator[tuple[type, str, Callable[..., Any]]]:
    for port in OUTBOUND:
        for name, method in vars(port).items():
            if callable(method) and (name == "__call__" or not name.startswith("_")):
                yield port, name, method


@pytest.mark.parametrize(
    ("port", "name", "method"), list(outbound_methods()), ids=lambda each: getattr(each, "__name__", each)
)
def test_what_leads_out_takes_redacted_text_or_words_of_ours(port, name, method):
    hints = typing.get_type_hints(method, include_extras=True)
    hints.pop("return", None)
    plain = {parameter for parameter, hint in hints.items() if _holds_plain_text(hint)}

    assert set(hints) == set(inspect.signature(method).parameters) - {"self"}, "a parameter without a type"
    assert plain == set(OURS.get((port, name), ())), "plain text leaves: make it Redacted"


def test_every_word_of_ours_is_still_said():
    assert set(OURS) <= {(port, name) for port, name, _ in outbound_methods()}


def _holds_plain_text(hint: Any) -> bool:
    """Whether a value of this type can hold text that nobody has covered. What is unknown can."""
    if isinstance(hint, list):
        return any(map(_holds_plain_text, hint))
    if hint in {str, bytes, Any, object}:
        return True
    if hint is Redacted or typing.get_origin(hint) is Literal:
        return False
    if inspect.isclass(hint) and issubclass(hint, BaseModel):
        # The base class of all of them says nothing of what it holds.
        fields = [field.annotation for field in hint.model_fields.values()]
        return not fields or any(map(_holds_plain_text, fields))
    if dataclasses.is_dataclass(hint):
        return any(map(_holds_plain_text, typing.get_type_hints(hint).values()))
    return any(_holds_plain_text(inner) for inner in typing.get_args(hint))


@dataclasses.dataclass
class Carrier:
    text: str


@pytest.mark.parametrize(
    ("hint", "plain"),
    [
        (str, True),
        (bytes, True),
        (Any, True),
        (object, True),
        (Redacted, False),
        (Sequence[str], True),
        (str | None, True),
        (Redacted | None, False),
        (Sequence[Redacted], False),
        (Mapping[Redacted, str], True),
        (Sequence[tuple[int, Sequence[bytes]]], True),
        (Callable[[Redacted], None], False),
        (Callable[[str], None], True),
        (Literal["a", "b"], False),
        (BaseModel, True),
        (AuditHead, True),
        (Carrier, True),
        (Sequence[Carrier], True),
        (datetime, False),
        (int, False),
    ],
    ids=str,
)
def test_plain_text_is_recognised_wherever_it_hides(hint, plain):
    assert _holds_plain_text(hint) == plain


# --- records, which go to the endpoint

NOW = datetime(2026, 11, 22, tzinfo=UTC)
SESSION = {
    "token": "cvs_1_secret", "expires_at": "2026-11-22T12:15:00Z", "tenant_id": 1, "repository_id": 9, "run_id": 7,
    "run_attempt": 1, "tier": "T1", "witness": {"seq": 1, "head": "a" * 64}, "witnessed": "first",
    "scopes": {"read": "repo", "tenant_shared": False, "propose": True, "validate_entries": False, "reason": "ok"},
}  # fmt: skip
DIGEST = "a" * 64
ENTRY_ID = "mem_" + "a" * 16
REPORT = RunReport(
    attempt=1, event_name=f"issues {TOKEN}"[:60], thread="issue-1", familiar="cody", trust_scope="maintainer",
    memory_policy=policy(), lease_seconds=60, requested_at=NOW,
)  # fmt: skip
PROPOSED = ProposedEntry(key="a/b", kind="fact", text=TOKEN, citations=(), branches=(TOKEN,), why=TOKEN)
EVENTS = EventsRequest(events=(RunEvent(type="note", at=NOW, data={TOKEN: [TOKEN]}),))
FINISH = FinishRequest(state="done", links={"comment": "https://github.com/a/b/issues/1"}, evidence_sha256=DIGEST)
STALE = Validation(id=ENTRY_ID, version=DIGEST, holds=False, commit="b" * 40)
# A stage's way to the endpoint -> what it says there, with a secret wherever there is room for one.
REPORTS: dict[str, list[tuple[Any, ...]]] = {
    "open": [(AuditHead(seq=1, head="a" * 64, signature=TOKEN, key_id=TOKEN),)],
    "report": [(REPORT, "k")],
    "fetch_bundle": [(BundleRequest(text=TOKEN, paths=(TOKEN,), branch=TOKEN), "k")],
    "validate": [(ValidationsRequest(validations=(STALE,)), "k")],
    "deliver": [
        ("report", REPORT, "k"),
        ("events", EVENTS, "k"),
        ("uses", UsesRequest(uses=()), "k"),
        ("proposals", ProposalsRequest(proposals=(PROPOSED,)), "k"),
        ("finish", FINISH, "k"),
    ],
}


def test_every_report_to_the_endpoint_has_a_case():
    covered = {name for (port, name), words in OURS.items() if port is history.History and COVERED in words.values()}

    assert set(REPORTS) == covered
    assert {kind for kind, _, _ in REPORTS["deliver"]} == set(hosted_endpoint._ROUTES)


CASES = [(name, said) for name, cases in REPORTS.items() for said in cases]


@pytest.mark.parametrize(("name", "said"), CASES, ids=[f"{name} {said[0]}"[:30] for name, said in CASES])
def test_no_report_leaves_uncovered(monkeypatch, name, said):
    sent: list[bytes] = []
    covered: list[bytes] = []
    cover = hosted_endpoint.redact_record

    def record(document, redactor):
        covered.append(cover(document, redactor).model_dump_json().encode())
        return cover(document, redactor)

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.content)
        return httpx.Response(201, json=SESSION) if request.url.path == "/v1/session" else httpx.Response(400)

    monkeypatch.setattr(hosted_endpoint, "redact_record", record)
    endpoint = HostedEndpoint(
        "https://coven.example.com",
        request_token=lambda _: "id-token",
        redactor=Redactor.build(),
        keep=lambda *_: False,
        transport=httpx.MockTransport(answer),
    )
    if name == "open":
        endpoint.open(*said)
    else:
        endpoint.open(None)
        with pytest.raises(hosted_endpoint.EndpointRefused):
            getattr(endpoint, name)(*said)

    assert sent == covered
    assert TOKEN not in b"".join(sent).decode()
    assert has_room(said) == ("[redacted: GitHub token]" in sent[-1].decode())


def has_room(said: tuple[Any, ...]) -> bool:
    """Whether a case holds the secret at all; a report of digests alone has no place for it."""
    return any(TOKEN in json.dumps(each.model_dump(mode="json")) for each in said if isinstance(each, BaseModel))


# --- files

# Functions of the stages that write a file by themselves, and why what they write is nobody's to read but the familiar's.
WRITERS = {
    ("memory.py", "materialise"): "what the familiar is to read, in its own folder, removed after the run",
    ("runtimes.py", "write_brief"): "the familiar's brief, in the run's folder, removed after the run",
    ("runtimes.py", "_prepare_coven_code"): "the runtime's settings, in its own folder, removed after the run",
}
WRITING = {"write_text", "write_bytes", "writelines"}


def find_writers(tree: ast.AST) -> set[str]:
    """Return the functions, by the innermost name, that write a file by themselves."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {
        function.name
        for function in functions
        if any(isinstance(node, ast.Call) and _writes(node) for node in ast.walk(function))
    }


def _writes(call: ast.Call) -> bool:
    match call.func:
        case ast.Attribute(attr=name) if name in WRITING:
            return True
        case ast.Attribute(value=ast.Name(id="os" | "io"), attr="open" | "write"):
            return True
        case ast.Name(id="open") | ast.Attribute(attr="open"):
            # Of what is opened to be read nothing leaves; ports that open something else are given no mode.
            modes = [each.value for each in call.args if isinstance(each, ast.Constant)]
            modes += [each.value.value for each in call.keywords if isinstance(each.value, ast.Constant)]
            return any(isinstance(mode, str) and set(mode) & set("wax+") for mode in modes)
    return False


@pytest.mark.parametrize(
    ("source", "writes"),
    [
        ("path.write_text(x)", True),
        ("path.open('wb')", True),
        ("path.open(mode='a')", True),
        ("open(path, 'x')", True),
        ("open(path, 'r+')", True),
        ("os.open(path, flags)", True),
        ("os.write(handle, x)", True),
        ("path.open('rb')", False),
        ("path.open()", False),
        ("gateways.open(order, key)", False),
        ("log(x)", False),
    ],
)
def test_whatever_writes_a_file_is_seen(source, writes):
    assert find_writers(ast.parse(f"def f():\n    {source}")) == ({"f"} if writes else set())


def test_no_stage_writes_a_file_but_through_the_documents_port():
    writers = {
        (path.name, name)
        for path in sorted((ROOT / "stages").glob("*.py"))
        for name in find_writers(ast.parse(path.read_text(encoding="utf-8")))
    }

    assert writers == set(WRITERS), "let it go through Documents.leave, or say here why it may write"


# --- what is printed

# Modules that may print, and why what they print is fit to be seen. In a job only the first two speak.
PRINTERS = {
    "adapters/actions.py": "takes Redacted alone; `mask` hands the runner a value to cover",
    "cli/boundary.py": "redacts every message and report, tracebacks included",
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
    "adapters/gateway/process.py": "writes order and key to the gateway's own pipe",
    "adapters/gateway/program.py": "writes events to its parent, the key covered; of a failure its kind and place",
    "adapters/sandbox/inside/entry.py": "says which step failed, into the log, which is redacted by `run`",
    "adapters/sandbox/inside/probe.py": "prints a report of facts to its parent",
    "adapters/runtime_supervisor.py": "prints a report of numbers to its parent",
    "runtimes/patch.py": "prints into the log, which is redacted by `run`",
    "hosted/app.py": "logs at the endpoint, by way of `hosted/logs.py`",
    "hosted/ended_sessions.py": "writes one byte to a file of the server's",
    "hosted/logs.py": "covers every line of the endpoint's log, tracebacks included",
    "hosted/sweeper.py": "logs at the endpoint, by way of `hosted/logs.py`",
    "hosted/store/checkpoints.py": "logs at the endpoint, by way of `hosted/logs.py`",
    "hosted/store/postgresql.py": "logs at the endpoint, by way of `hosted/logs.py`",
    "hosted/store/sqlite.py": "logs at the endpoint, by way of `hosted/logs.py`",
}
PRINTING = {"print", "echo", "secho", "write_stdout", "displayhook", "excepthook", "breakpoint"}
# Modules of the standard library through which text reaches a log: whoever imports one is looked at.
SPEAKING = {"logging", "warnings", "traceback", "faulthandler", "syslog", "pprint", "cgitb"}
STREAMS = {"stdout", "stderr", "__stdout__", "__stderr__"}
WRITING_CALLS = {("os", "write"), ("os", "writev"), ("os", "pwrite"), ("os", "sendfile"), ("os", "system")}


def _prints(tree: ast.AST) -> bool:
    return any(_speaks(node) for node in ast.walk(tree))


def _speaks(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in PRINTING:
            return True
        case ast.Attribute(value=ast.Name(id="sys"), attr=name) if name in STREAMS | PRINTING:
            return True
        case ast.Attribute(value=ast.Name(id=owner), attr=name) if (owner, name) in WRITING_CALLS:
            return True
        case ast.Import(names=names):
            return any(each.name.partition(".")[0] in SPEAKING for each in names)
        case ast.ImportFrom(module=str(module), names=names):
            told = {(module, each.name) for each in names}
            streams = {("sys", name) for name in STREAMS}
            return module.partition(".")[0] in SPEAKING or bool(told & (WRITING_CALLS | streams))
    return False


@pytest.mark.parametrize(
    ("source", "prints"),
    [
        ("print(x)", True),
        ("click.echo(x)", True),
        ("sys.stderr.write(x)", True),
        ("sys.__stdout__.write(x)", True),
        ("from sys import stderr", True),
        ("sys.excepthook(a, b, c)", True),
        ("os.write(2, x)", True),
        ("from os import write", True),
        ("import logging", True),
        ("import logging.config", True),
        ("from logging import getLogger", True),
        ("import traceback as t", True),
        ("def f():\n    import warnings", True),
        ("from warnings import warn", True),
        ("import os, sys", False),
        ("path.write(x)", False),
        ("job.notice(redactor.redact(x))", False),
        ("self.warnings.append(x)", False),
    ],
)
def test_whatever_speaks_is_heard(source, prints):
    assert _prints(ast.parse(source)) == prints


def test_only_the_listed_modules_print():
    printing = {
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*.py")
        if "demo_files" not in path.parts and _prints(ast.parse(path.read_text(encoding="utf-8")))
    }

    assert printing == set(PRINTERS), "a module prints, or no longer does: take the Job port, or say here why it may"
