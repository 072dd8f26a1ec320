"""Read and seed bare repositories with the git program, in a clean environment and never through a shell.

Every function takes the path of a bare repository. Objects are named by callers only through `resolve_commit`, which
puts `--end-of-options` before names that came from outside, so that no name is ever read as an option.
"""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from coven_action.errors import GitError

_TIMEOUT: Final = 60
_PERSON: Final[dict[str, str]] = {
    "GIT_AUTHOR_NAME": "Local GitHub",
    "GIT_AUTHOR_EMAIL": "local-github@example.invalid",
    "GIT_AUTHOR_DATE": "2026-01-05T09:00:00Z",
    "GIT_COMMITTER_NAME": "Local GitHub",
    "GIT_COMMITTER_EMAIL": "local-github@example.invalid",
    "GIT_COMMITTER_DATE": "2026-01-05T09:00:00Z",
}
_SETTINGS: Final[Mapping[str, str]] = {
    # A detached `git gc` would race with the removal of a temporary directory.
    "gc.auto": "0",
    "receive.autogc": "false",
    "receive.maxInputSize": "67108864",
    "http.receivepack": "true",
    "uploadpack.allowReachableSHA1InWant": "true",
    "uploadpack.allowTipSHA1InWant": "true",
    "uploadpack.allowFilter": "true",
    "transfer.hideRefs": "refs/internal",
}
WORKFLOWS_VARIABLE: Final = "EMULATOR_MAY_CHANGE_WORKFLOWS"
"""Set to 1 in the environment of a push that may change `.github/workflows`."""
# GitHub lets no GITHUB_TOKEN change a workflow: https://docs.github.com/actions/security-for-github-actions
_HOOK: Final = rf"""#!/bin/sh
[ "${WORKFLOWS_VARIABLE}" = 1 ] && exit 0
while read -r _old new ref; do
  case "$new" in *[!0]*) ;; *) continue ;; esac
  if [ -n "$(git rev-list --max-count=1 "$new" --not --all -- .github/workflows)" ]; then
    echo "refusing to allow a GitHub App to create or update a workflow in $ref without \`workflows\` permission" >&2
    exit 1
  fi
done
"""


def build_git_environment() -> dict[str, str]:
    """Return the whole environment git gets: PATH, and nothing of the user's or the system's configuration."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
    }


def find_git(path: Path, *arguments: str, content: bytes = b"") -> bytes | None:
    """Run git in `path`; return its output, or `None` where it ends with an error (absent ref, absent object)."""
    result = subprocess.run(
        ["git", *arguments],
        cwd=path,
        env=build_git_environment() | _PERSON,
        input=content,
        capture_output=True,
        timeout=_TIMEOUT,
        check=False,
    )
    return result.stdout if result.returncode == 0 else None


def run_git(path: Path, *arguments: str, content: bytes = b"") -> bytes:
    """Run git in `path` and return its output.

    Raises:
        GitError: `emulator-git`, when git ends with an error.
    """
    output = find_git(path, *arguments, content=content)
    if output is None:
        raise GitError("emulator-git", f"git {arguments[0]} failed in the local GitHub's repository {path.name}")
    return output


def create_repository(path: Path, default_branch: str, files: Mapping[str, str | bytes]) -> str | None:
    """Create a bare repository with one commit that holds `files`; return its SHA, `None` where there are no files."""
    path.mkdir(parents=True)
    run_git(path, "init", "--quiet", "--bare", "--template=", f"--initial-branch={default_branch}", ".")
    _finish_repository(path)
    return commit_files(path, default_branch, files, "Initial commit") if files else None


def fork_repository(source: Path, path: Path) -> None:
    """Copy the bare repository `source` with all its branches to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    run_git(source, "clone", "--quiet", "--bare", "--template=", "--no-hardlinks", str(source), str(path))
    run_git(path, "remote", "remove", "origin")
    _finish_repository(path)


def _finish_repository(path: Path) -> None:
    """Write the settings, and the hook that refuses changes of workflows where the pusher may not make them."""
    lines = ["\n"]
    for name, value in _SETTINGS.items():
        section, key = name.split(".")
        lines.append(f"[{section}]\n\t{key} = {value}\n")
    with (path / "config").open("a", encoding="utf-8") as config:
        config.writelines(lines)
    hook = path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(_HOOK, encoding="utf-8")
    hook.chmod(0o755)


def commit_files(path: Path, branch: str, files: Mapping[str, str | bytes | None], message: str) -> str:
    """Add one commit to `branch` (made where absent) that writes `files`, `None` deletes; return its SHA.

    The author, the committer and their dates are fixed, so equal histories have equal SHAs.
    """
    ref = f"refs/heads/{branch}"
    stream = [
        f"commit {ref}\ncommitter Local GitHub <local-github@example.invalid> 1767603600 +0000\n".encode(),
        _data(message.encode()),
    ]
    parent = find_git(path, "rev-parse", "--verify", "--quiet", ref)
    if parent is not None:
        stream.append(b"from " + parent.strip() + b"\n")
    stream += [_change(name, content) for name, content in files.items()]
    run_git(path, "fast-import", "--quiet", "--date-format=raw", content=b"".join(stream))
    return run_git(path, "rev-parse", ref).decode().strip()


def _change(name: str, content: str | bytes | None) -> bytes:
    quoted = b'"' + name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").encode() + b'"'
    if content is None:
        return b"D " + quoted + b"\n"
    mode = b"100755" if name.endswith(".sh") else b"100644"
    return (
        b"M " + mode + b" inline " + quoted + b"\n" + _data(content.encode() if isinstance(content, str) else content)
    )


def _data(content: bytes) -> bytes:
    return b"data %d\n%b\n" % (len(content), content)


def resolve_commit(path: Path, name: str) -> str | None:
    """Return the SHA of the commit that `name` (branch, tag, `heads/x`, full or short SHA) means, or `None`.

    Revision syntax such as `main~1` or `main:file` is no name of a commit on GitHub, so it is none here.
    """
    if not name or any(character in "~^:@{}?*[\\ \n\0" for character in name):
        return None
    for candidate in (name, f"refs/heads/{name}", f"refs/{name}"):
        found = find_git(path, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{candidate}^{{commit}}")
        if found is not None:
            return found.decode().strip()
    return None


def find_ref(path: Path, ref: str) -> tuple[str, str] | None:
    """Return (object type, SHA) of the fully named ref, or `None`."""
    listed = list_refs(path, ref)
    return next(((kind, sha) for name, kind, sha in listed if name == ref), None)


def list_refs(path: Path, prefix: str) -> list[tuple[str, str, str]]:
    """Return (name, object type, SHA) of every ref whose name begins with `prefix`, sorted by name."""
    output = run_git(path, "for-each-ref", "--format=%(refname)%00%(objecttype)%00%(objectname)")
    rows = [line.split("\0") for line in output.decode().splitlines()]
    return [(name, kind, sha) for name, kind, sha in rows if name.startswith(prefix)]


@dataclass(frozen=True, slots=True)
class Signature:
    """The author or the committer of a commit; `date` is ISO 8601 with `Z`."""

    name: str
    email: str
    date: str


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit as git stores it."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    author: Signature
    committer: Signature
    message: str


def read_commit(path: Path, sha: str) -> Commit:
    """Return the commit named by a full SHA that `resolve_commit` gave."""
    layout = "%H%x00%T%x00%P%x00%an%x00%ae%x00%ad%x00%cn%x00%ce%x00%cd%x00%B"
    output = run_git(path, "-c", "log.showSignature=false", "show", "-s", "--date=format-local:%Y-%m-%dT%H:%M:%SZ",
                     f"--format={layout}", sha)  # fmt: skip
    fields = output.decode("utf-8", "replace").split("\0")
    return Commit(
        sha=fields[0],
        tree=fields[1],
        parents=tuple(fields[2].split()),
        author=Signature(*fields[3:6]),
        committer=Signature(*fields[6:9]),
        message=fields[9].rstrip("\n"),
    )


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a tree: `mode` as git writes it, `kind` one of blob, tree, commit; `size` in bytes, 0 but for blobs."""

    mode: str
    kind: str
    sha: str
    size: int
    path: str


def list_entries(path: Path, commit: str, name: str) -> list[Entry] | None:
    """Return the entry called `name` in `commit`; for a directory (or `""`) its children; `None` where absent."""
    if "\0" in name:
        return None
    clean = name.strip("/")
    if not clean:
        return _list_tree(path, commit, "")
    found = _list_tree(path, commit, clean)
    if not found:
        return None
    return _list_tree(path, commit, clean + "/") if found[0].kind == "tree" else found


def _list_tree(path: Path, commit: str, name: str) -> list[Entry]:
    pathspec = ["--", name] if name else []
    output = find_git(path, "--literal-pathspecs", "ls-tree", "-z", "--long", "--full-tree", commit, *pathspec)
    return [_parse_entry(row) for row in (output or b"").decode("utf-8", "replace").split("\0") if row]


def _parse_entry(row: str) -> Entry:
    facts, _, name = row.partition("\t")
    mode, kind, sha, size = facts.split()
    return Entry(mode, kind, sha, 0 if size == "-" else int(size), name)


def read_blob(path: Path, sha: str) -> bytes:
    """Return the content of the blob with this full SHA."""
    return run_git(path, "cat-file", "blob", sha)
