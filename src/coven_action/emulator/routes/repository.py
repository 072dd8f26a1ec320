"""Routes about a repository: itself, its refs, commits, branches and files."""

from typing import Final

from coven_action.emulator import git_store
from coven_action.emulator.answers import Answer, ApiError, build_not_found
from coven_action.emulator.call import Call, Operation
from coven_action.emulator.documents.repository import (
    build_branch,
    build_commit,
    build_content_entry,
    build_file,
    build_full_repository,
    build_git_commit,
    build_ref,
)
from coven_action.emulator.git_store import Entry

_MAX_FILE: Final = 1024 * 1024
_RAW: Final = "application/vnd.github.raw"


def get_repository(call: Call) -> Answer:
    """Answer the repository itself."""
    return Answer(build_full_repository(call.world, call.repository))


def get_ref(call: Call) -> Answer:
    """Answer one ref, named without `refs/` and in full: `heads/main`."""
    name = f"refs/{call.path['ref']}"
    found = git_store.find_ref(call.repository.path, name)
    if found is None:
        raise build_not_found()
    return Answer(build_ref(call.world, call.repository, name, *found))


def list_matching_refs(call: Call) -> Answer:
    """Answer all refs whose name begins so; none is an empty list."""
    refs = git_store.list_refs(call.repository.path, f"refs/{call.path['ref']}")
    return Answer([build_ref(call.world, call.repository, *ref) for ref in refs])


def get_git_commit(call: Call) -> Answer:
    """Answer a commit by its full SHA."""
    sha = call.path["sha"]
    if git_store.resolve_commit(call.repository.path, sha) != sha:
        raise build_not_found()
    return Answer(build_git_commit(call.world, call.repository, git_store.read_commit(call.repository.path, sha)))


def get_commit(call: Call) -> Answer:
    """Answer the commit that a branch, tag or SHA means."""
    sha = require_commit(call, call.path["ref"])
    return Answer(build_commit(call.world, call.repository, git_store.read_commit(call.repository.path, sha)))


def require_commit(call: Call, name: str) -> str:
    """Return the SHA of the commit that `name` means.

    Raises:
        ApiError: 422, as GitHub answers for a name it cannot resolve.
    """
    sha = git_store.resolve_commit(call.repository.path, name)
    if sha is None:
        raise ApiError(422, f"No commit found for SHA: {name}")
    return sha


def get_branch(call: Call) -> Answer:
    """Answer a branch and the commit at its tip."""
    name = call.path["branch"]
    found = git_store.find_ref(call.repository.path, f"refs/heads/{name}")
    if found is None:
        raise ApiError(404, "Branch not found")
    return Answer(
        build_branch(call.world, call.repository, name, git_store.read_commit(call.repository.path, found[1]))
    )


def get_content(call: Call) -> Answer:
    """Answer a file (in base64, or as it is for the raw media type) or the list of a directory."""
    repository = call.repository
    ref = call.query.get("ref") or repository.default_branch
    sha = git_store.resolve_commit(repository.path, ref)
    if sha is None:
        raise ApiError(404, f"No commit found for the ref {ref}")
    entries = git_store.list_entries(repository.path, sha, call.path["path"])
    if entries is None:
        raise build_not_found()
    if len(entries) == 1 and entries[0].path == call.path["path"] and entries[0].kind == "blob":
        return _answer_file(call, entries[0], ref)
    return Answer([build_content_entry(call.world, repository, entry, ref) for entry in entries])


def _answer_file(call: Call, entry: Entry, ref: str) -> Answer:
    content = git_store.read_blob(call.repository.path, entry.sha)
    if call.accept.startswith(_RAW):
        return Answer(content=content, media_type="application/vnd.github.raw+json; charset=utf-8")
    document = build_file(call.world, call.repository, entry, ref, content)
    if len(content) > _MAX_FILE:  # GitHub leaves the content out above 1 MB; the raw media type still has it
        document |= {"content": "", "encoding": "none"}
    return Answer(document)


_REPOSITORY: Final = "/repos/{owner}/{repo}"
_CONTENTS: Final = ("contents=read",)
OPERATIONS: Final = (
    Operation("GET", _REPOSITORY, get_repository, needs=("metadata=read",), anonymous=True),
    Operation("GET", f"{_REPOSITORY}/git/ref/{{ref:path}}", get_ref, needs=_CONTENTS, anonymous=True),
    Operation(
        "GET", f"{_REPOSITORY}/git/matching-refs/{{ref:path}}", list_matching_refs, needs=_CONTENTS, anonymous=True
    ),
    Operation("GET", f"{_REPOSITORY}/git/commits/{{sha}}", get_git_commit, needs=_CONTENTS, anonymous=True),
    Operation("GET", f"{_REPOSITORY}/branches/{{branch:path}}", get_branch, needs=_CONTENTS, anonymous=True),
    Operation("GET", f"{_REPOSITORY}/contents/{{path:path}}", get_content, needs=_CONTENTS, anonymous=True),
    Operation("GET", f"{_REPOSITORY}/commits/{{ref:path}}", get_commit, needs=_CONTENTS, anonymous=True),
)
