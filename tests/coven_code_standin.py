#!/usr/bin/env python3
"""A stand-in for the coven-code binary where the real one cannot be had: same command line, same ways to end.

It reproduces what was read in the source of coven-code: the options of each release, the brief versions it accepts, and
every row of its table of exit codes, on a real git repository. It calls no model: `--scenario` says what the model would
have done. What it was given (arguments, environment, brief, settings) is written to `standin-record.json` in HOME.

    coven_code_standin.py --release 0.6.1|0.7.0|head --scenario NAME [coven-code's own arguments]

`install_standin` writes a small program that supplies the first two, so that adapters take it by path like the real one.
"""

# ruff: noqa: T201 - it is a program, and what it prints is what it is about

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

NARRATION = "# Let me look at the repository first."
CLOSING = "The change is complete."
OPTIONS = {
    "--model": "-m",
    "--provider": "",
    "--api-base": "",
    "--api-key": "",
    "--context": "",
    "--output": "",
    "--max-turns": "",
    "--max-budget-usd": "",
    "--output-format": "",
    "--append-system-prompt": "",
}
SWITCHES = ("--headless", "--no-claude-md", "--verbose")
RELEASES = {
    "0.6.1": {"version": "0.6.1", "briefs": {"3"}, "switches": SWITCHES},
    "0.7.0": {"version": "0.7.0", "briefs": {"3"}, "switches": SWITCHES},
    # The head still carries the number of the last release: only its help tells them apart.
    "head": {"version": "0.7.0", "briefs": {"2", "3"}, "switches": (*SWITCHES, "--hosted-repair", "--hosted-review")},
}


def install_standin(folder: Path, release: str, scenario: str) -> Path:
    """Write a program into `folder` that behaves like coven-code of this release, and return its path."""
    program = folder / f"coven-code-{release}-{scenario}"
    words = [sys.executable, "-I", str(Path(__file__).resolve()), "--release", release, "--scenario", scenario]
    program.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return program


# What the model does: scenario -> (edits a tracked file, adds a new file, commits, how the conversation stops).
CONVERSATIONS = {
    "commits": (True, True, True, "end_turn"),
    "partial": (True, False, True, "max_tokens"),
    "edits": (True, False, False, "end_turn"),
    "new-files": (False, True, False, "end_turn"),
    "nothing": (False, False, False, "end_turn"),
    "budget": (False, False, False, "budget"),
    "api-error": (True, False, True, "error"),
    "turn-limit": (True, False, False, "error"),
    "empty-prompt": (False, False, False, "error"),
    "detached": (True, False, True, "end_turn"),
}


# What goes wrong around it: scenario -> the way to end, called in place of writing an ordinary result.
def no_file(_result: Path, _text: str) -> int:
    return 0


def half_a_file(result: Path, text: str) -> int:
    result.write_text(text[: len(text) // 2], encoding="utf-8")
    return 0


def wrong_version(result: Path, text: str) -> int:
    result.write_text(json.dumps({**json.loads(text), "contract_version": "9"}), encoding="utf-8")
    return 0


def unknown_fields(result: Path, text: str) -> int:
    result.write_text(json.dumps({**json.loads(text), "mood": "cheerful"}), encoding="utf-8")
    return 0


def version_two(result: Path, text: str) -> int:
    document = json.loads(text)
    memory = {"enabled": False, "read": [], "proposed": [], "rejected": []}
    del document["review"]["memory"]
    result.write_text(json.dumps({**document, "contract_version": "2", "memory_used": memory}), encoding="utf-8")
    return 0


def needs_input(result: Path, text: str) -> int:
    document = {**json.loads(text), "status": "needs_input", "exit_reason": "ambiguous_spec"}
    result.write_text(json.dumps(document), encoding="utf-8")
    return 1


def flood(_result: Path, _text: str) -> int:
    line = b"the same line again and again\n" * 2048
    while True:
        os.write(1, line)


def hang(_result: Path, _text: str) -> int:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(3600)


def crash(result: Path, text: str) -> int:
    result.write_text(text, encoding="utf-8")
    os.kill(os.getpid(), signal.SIGSEGV)
    return 0


def panic(result: Path, text: str) -> int:
    result.write_text(text, encoding="utf-8")
    return 101


def daemon(result: Path, text: str) -> int:
    """End well, and leave a process of another session behind that keeps the pipes open."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            Path(os.environ["HOME"], "daemon.pid").write_text(str(os.getpid()), encoding="utf-8")
            hang(result, text)
        os._exit(0)
    os.wait()
    while not Path(os.environ["HOME"], "daemon.pid").exists():
        time.sleep(0.01)
    result.write_text(text, encoding="utf-8")
    return 0


FAULTS = {
    "no-file": no_file,
    "half-file": half_a_file,
    "wrong-version": wrong_version,
    "unknown-fields": unknown_fields,
    "version-2": version_two,
    "needs-input": needs_input,
    "flood": flood,
    "hang": hang,
    "crash": crash,
    "panic": panic,
    "daemon": daemon,
}
SCENARIOS = (*CONVERSATIONS, *FAULTS, "startup-error")


def build_help(release: dict) -> str:
    lines = ["Usage: coven-code [OPTIONS] [PROMPT]", "", "Options:"]
    for option, short in OPTIONS.items():
        lines.append(f"  {short + ', ' if short else '    '}{option} <VALUE>")
    lines += [f"      {switch}" for switch in release["switches"]]
    return "\n".join([*lines, "  -h, --help", "  -V, --version"])


class UsageError(Exception):
    """What clap reports with exit code 2."""


def parse_arguments(arguments: list[str], release: dict) -> dict:
    given: dict = dict.fromkeys(release["switches"], False)
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word in release["switches"]:
            given[word] = True
        elif word in OPTIONS or word == "-m":
            if not rest:
                raise UsageError(f"a value is required for '{word}'")
            given["--model" if word == "-m" else word] = rest.pop(0)
        else:
            raise UsageError(f"unexpected argument '{word}' found")
    if given.get("--hosted-repair") and not (given["--headless"] and {"--context", "--output"} <= given.keys()):
        raise UsageError("--hosted-repair needs --headless, --context and --output")
    return given


def git(*words: str) -> str:
    done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def load_brief(path: str, release: dict) -> dict:
    brief = json.loads(Path(path).read_text(encoding="utf-8"))
    version = brief.get("contract_version", "3")
    if version not in release["briefs"]:
        raise ValueError(f"unsupported contract version {version}")
    missing = {"trigger", "repo", "task", "familiar", "workspace"} - brief.keys()
    if missing:
        raise ValueError(f"missing field {', '.join(sorted(missing))}")
    return brief


def load_settings() -> dict:
    path = Path(os.environ.get("COVEN_CODE_HOME") or Path.home() / ".coven-code", "settings.json")
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def work(scenario: str, brief: dict, *, hosted: bool) -> str:
    """Do to the tree what the model would have done; return how the conversation stopped."""
    edits, adds, commits, stop = CONVERSATIONS.get(scenario, CONVERSATIONS["edits"])
    if scenario == "detached":
        git("checkout", "--detach")
    if edits:
        with Path("README.md").open("a", encoding="utf-8") as file:
            file.write("One more line.\n")
    if adds:
        Path("NEW.md").write_text("New.\n", encoding="utf-8")
    hand_off = ".coven/handoff/pull-request.md"
    if (edits or adds) and hand_off in (brief.get("audit_instruction") or ""):
        Path(hand_off).parent.mkdir(parents=True, exist_ok=True)
        Path(hand_off).write_text("Add one more line\n\nThe README lacked a line.\n", encoding="utf-8")
    if commits and not hosted:
        git("add", "README.md", *(["NEW.md"] if adds else []))
        git("commit", "--message", "Add one more line")
    return stop


def list_commits(default_branch: str) -> list[dict]:
    lines = git("log", "--format=%H %s", f"origin/{default_branch}..HEAD").splitlines()
    lines = lines or git("log", "--format=%H %s", f"{default_branch}..HEAD").splitlines()
    return [dict(zip(("sha", "message"), line.split(" ", 1), strict=True)) for line in lines]


def decide_end(brief: dict, stop: str, commits: list, *, hosted: bool) -> tuple[str, str | None, int]:
    """The table of exit codes: status, exit_reason, exit code."""
    dirty = bool(git("diff", "HEAD", "--name-only"))
    progress = bool(commits) or (hosted and dirty)
    answers = brief["task"]["kind"] != "fix_issue" and not hosted
    if stop == "error":
        return "failure", "infra_error", 2
    if progress:
        return ("success", None, 0) if stop == "end_turn" else ("partial", None, 0)
    if answers and stop == "end_turn":
        return "success", None, 0
    return "failure", "ambiguous_spec", 1


def build_review(brief: dict) -> dict:
    files = [file["filename"] for file in (brief.get("review_context") or {}).get("files", [])]
    kind = "pull_request" if files else "none"
    if brief["task"]["kind"] == "address_review_comment":
        kind = "review_comment"
    return {
        "mode": kind,
        "evidence_status": "not_applicable" if kind == "none" else "partial" if files else "missing",
        "reviewed_files": files,
        "supporting_files": [],
        "findings": [],
        "tests_run": [],
        "no_findings_reason": None,
        "limitations": [],
        "memory": {"domains_loaded": [], "entries": []},
    }


def build_result(brief: dict, stop: str, *, hosted: bool) -> tuple[str, int]:
    default_branch = brief["repo"]["default_branch"]
    commits = list_commits(default_branch)
    status, reason, code = decide_end(brief, stop, commits, hosted=hosted)
    files = git("diff", "HEAD", "--name-only") + "\n" + git("diff", "--name-only", f"origin/{default_branch}...HEAD")
    document = {
        "contract_version": "3",
        "status": status,
        "exit_reason": reason,
        "branch": git("rev-parse", "--abbrev-ref", "HEAD") or None,
        "commits": commits,
        "files_changed": sorted(set(files.split())),
        "summary": NARRATION.lstrip("# ")[:140],
        "pr_body": f"{NARRATION}{CLOSING}",
        "review": build_review(brief),
    }
    return json.dumps(document, indent=2), code


def record(arguments: list[str], brief: dict, settings: dict) -> None:
    record = {"arguments": arguments, "environment": dict(os.environ), "brief": brief, "settings": settings}
    Path(os.environ["HOME"], "standin-record.json").write_text(json.dumps(record), encoding="utf-8")


def run(given: dict, arguments: list[str], release: dict, scenario: str) -> int:
    try:
        brief = load_brief(given["--context"], release)
    except (OSError, ValueError) as error:
        print(f"Error: invalid session brief: {error}", file=sys.stderr)
        return 1
    settings = load_settings()
    record(arguments, brief, settings)
    key = given.get("--api-key") or settings.get("providers", {}).get("anthropic", {}).get("api_key")
    if scenario == "startup-error" or not (key or os.environ.get("ANTHROPIC_API_KEY")):
        print("Error: no credentials", file=sys.stderr)
        return 1
    os.chdir(brief["workspace"]["root"])
    hosted = bool(given.get("--hosted-repair"))
    stop = work(scenario, brief, hosted=hosted)
    text, code = build_result(brief, stop, hosted=hosted)
    print("tool: Read README.md", file=sys.stderr)
    if given.get("--output-format") == "json":
        usage = {"input_tokens": 1200, "output_tokens": 34, "cache_read_input_tokens": 5}
        print(json.dumps({"result": CLOSING, "usage": usage, "cost_usd": 0.0123}), flush=True)
    else:
        print(NARRATION + CLOSING, flush=True)
    if scenario in FAULTS:
        return FAULTS[scenario](Path(given["--output"]), text)
    if "--output" in given:
        Path(given["--output"]).write_text(text, encoding="utf-8")
    return code


def main() -> int:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--release", choices=RELEASES, required=True)
    parser.add_argument("--scenario", choices=SCENARIOS, required=True)
    # Only the first four words are ours; the rest is coven-code's command line, whatever it holds.
    own, arguments = parser.parse_args(sys.argv[1:5]), sys.argv[5:]
    release = RELEASES[own.release]
    if {"--version", "-V"} & set(arguments):
        print(f"coven-code {release['version']}")
        return 0
    if {"--help", "-h"} & set(arguments):
        print(build_help(release))
        return 0
    try:
        given = parse_arguments(arguments, release)
    except UsageError as error:
        print(f"error: {error}\n\nUsage: coven-code [OPTIONS] [PROMPT]", file=sys.stderr)
        return 2
    if "--context" not in given:
        print("Error: this stand-in has no terminal", file=sys.stderr)
        return 1
    return run(given, arguments, release, own.scenario)


if __name__ == "__main__":
    sys.exit(main())
