"""Repositories, labels, refs, commits and files, as the REST interface shows them."""

import base64
from typing import Any, Final
from urllib.parse import quote

from coven_action.emulator.documents.people import build_user, format_time
from coven_action.emulator.git_store import Commit, Entry
from coven_action.emulator.state import Label, Repository
from coven_action.emulator.world import World

_LINKS: Final = {
    "archive_url": "/{archive_format}{/ref}",
    "assignees_url": "/assignees{/user}",
    "blobs_url": "/git/blobs{/sha}",
    "branches_url": "/branches{/branch}",
    "collaborators_url": "/collaborators{/collaborator}",
    "comments_url": "/comments{/number}",
    "commits_url": "/commits{/sha}",
    "compare_url": "/compare/{base}...{head}",
    "contents_url": "/contents/{+path}",
    "contributors_url": "/contributors",
    "deployments_url": "/deployments",
    "downloads_url": "/downloads",
    "events_url": "/events",
    "forks_url": "/forks",
    "git_commits_url": "/git/commits{/sha}",
    "git_refs_url": "/git/refs{/sha}",
    "git_tags_url": "/git/tags{/sha}",
    "hooks_url": "/hooks",
    "issue_comment_url": "/issues/comments{/number}",
    "issue_events_url": "/issues/events{/number}",
    "issues_url": "/issues{/number}",
    "keys_url": "/keys{/key_id}",
    "labels_url": "/labels{/name}",
    "languages_url": "/languages",
    "merges_url": "/merges",
    "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}",
    "pulls_url": "/pulls{/number}",
    "releases_url": "/releases{/id}",
    "stargazers_url": "/stargazers",
    "statuses_url": "/statuses/{sha}",
    "subscribers_url": "/subscribers",
    "subscription_url": "/subscription",
    "tags_url": "/tags",
    "teams_url": "/teams",
    "trees_url": "/git/trees{/sha}",
}
_COUNTS: Final = (
    "forks", "forks_count", "open_issues", "open_issues_count", "size", "stargazers_count", "watchers",
    "watchers_count",
)  # fmt: skip


def get_api_url(world: World, repository: Repository) -> str:
    """Return the address of the repository in the REST interface."""
    return f"{world.api_url}/repos/{repository.full_name}"


def get_html_url(world: World, repository: Repository) -> str:
    """Return the address of the repository's page."""
    return f"{world.html_url}/{repository.full_name}"


def build_repository(world: World, repository: Repository) -> dict[str, Any]:
    """Build the document of a repository as other documents contain it (`repository`)."""
    api, html = get_api_url(world, repository), get_html_url(world, repository)
    created = format_time(repository.created_at)
    open_issues = sum(issue.state == "open" for issue in repository.issues.values())
    return (
        {
            "id": repository.id,
            "node_id": f"R_{repository.id}",
            "name": repository.name,
            "full_name": repository.full_name,
            "owner": build_user(world, repository.owner),
            "private": repository.private,
            "visibility": repository.visibility,
            "html_url": html,
            "description": repository.description,
            "fork": repository.parent is not None,
            "url": api,
            "clone_url": f"{html}.git",
            "git_url": f"{html}.git",
            "ssh_url": f"{html}.git",
            "svn_url": html,
            "mirror_url": None,
            "homepage": None,
            "language": None,
            "license": None,
            "default_branch": repository.default_branch,
            "archived": False,
            "disabled": False,
            "has_issues": True,
            "has_projects": False,
            "has_wiki": False,
            "has_pages": False,
            "has_downloads": False,
            "has_discussions": False,
            "allow_forking": True,
            "is_template": False,
            "web_commit_signoff_required": False,
            "topics": [],
            "created_at": created,
            "updated_at": created,
            "pushed_at": created,
        }
        | dict.fromkeys(_COUNTS, 0)
        | {"open_issues": open_issues, "open_issues_count": open_issues}
        | {name: api + suffix for name, suffix in _LINKS.items()}
    )


def build_full_repository(world: World, repository: Repository) -> dict[str, Any]:
    """Build the document that `GET /repos/{owner}/{repo}` answers."""
    document = build_repository(world, repository) | {"network_count": 0, "subscribers_count": 0}
    if repository.parent is not None:
        parent = build_repository(world, repository.parent)
        document |= {"parent": parent, "source": parent}
    return document


def build_label(world: World, repository: Repository, label: Label) -> dict[str, Any]:
    """Build the document of a label."""
    return {
        "id": label.id,
        "node_id": f"LA_{label.id}",
        "url": f"{get_api_url(world, repository)}/labels/{quote(label.name, safe='')}",
        "name": label.name,
        "description": label.description,
        "color": label.color,
        "default": False,
    }


def build_ref(world: World, repository: Repository, name: str, kind: str, sha: str) -> dict[str, Any]:
    """Build the document of a ref, `name` in full (`refs/heads/main`)."""
    api = get_api_url(world, repository)
    return {
        "ref": name,
        "node_id": f"REF_{repository.id}_{name}",
        "url": f"{api}/git/{quote(name)}",
        "object": {"sha": sha, "type": kind, "url": f"{api}/git/{kind}s/{sha}"},
    }


def build_git_commit(world: World, repository: Repository, commit: Commit) -> dict[str, Any]:
    """Build the document of a commit as an object of git."""
    api, html = get_api_url(world, repository), get_html_url(world, repository)
    return {
        "sha": commit.sha,
        "node_id": f"C_{commit.sha}",
        "url": f"{api}/git/commits/{commit.sha}",
        "html_url": f"{html}/commit/{commit.sha}",
        **_build_commit_facts(api, commit),
        "parents": _build_parents(api, html, commit, "git/commits"),
    }


def build_commit(world: World, repository: Repository, commit: Commit) -> dict[str, Any]:
    """Build the document of a commit as the commits list shows it; authors are no users here, so `author` is null."""
    api, html = get_api_url(world, repository), get_html_url(world, repository)
    return {
        "sha": commit.sha,
        "node_id": f"C_{commit.sha}",
        "url": f"{api}/commits/{commit.sha}",
        "html_url": f"{html}/commit/{commit.sha}",
        "comments_url": f"{api}/commits/{commit.sha}/comments",
        "commit": _build_commit_facts(api, commit) | {"url": f"{api}/git/commits/{commit.sha}", "comment_count": 0},
        "author": None,
        "committer": None,
        "parents": _build_parents(api, html, commit, "commits"),
    }


def _build_commit_facts(api: str, commit: Commit) -> dict[str, Any]:
    return {
        "author": {"name": commit.author.name, "email": commit.author.email, "date": commit.author.date},
        "committer": {"name": commit.committer.name, "email": commit.committer.email, "date": commit.committer.date},
        "message": commit.message,
        "tree": {"sha": commit.tree, "url": f"{api}/git/trees/{commit.tree}"},
        "verification": {
            "verified": False,
            "reason": "unsigned",
            "signature": None,
            "payload": None,
            "verified_at": None,
        },
    }


def _build_parents(api: str, html: str, commit: Commit, folder: str) -> list[dict[str, Any]]:
    return [{"sha": sha, "url": f"{api}/{folder}/{sha}", "html_url": f"{html}/commit/{sha}"} for sha in commit.parents]


def build_branch(world: World, repository: Repository, name: str, commit: Commit) -> dict[str, Any]:
    """Build the document of an unprotected branch."""
    url = f"{get_api_url(world, repository)}/branches/{quote(name, safe='')}"
    return {
        "name": name,
        "commit": build_commit(world, repository, commit),
        "_links": {"self": url, "html": f"{get_html_url(world, repository)}/tree/{quote(name)}"},
        "protected": False,
        "protection": {"enabled": False},
        "protection_url": f"{url}/protection",
    }


def build_content_entry(world: World, repository: Repository, entry: Entry, ref: str) -> dict[str, Any]:
    """Build the document of a file, link, submodule or directory, without its content."""
    api, html = get_api_url(world, repository), get_html_url(world, repository)
    path = quote(entry.path)
    kind = "symlink" if entry.mode == "120000" else {"blob": "file", "tree": "dir"}.get(entry.kind, "submodule")
    url = f"{api}/contents/{path}?ref={quote(ref, safe='')}"
    git_url = f"{api}/git/{'trees' if entry.kind == 'tree' else 'blobs'}/{entry.sha}"
    page = f"{html}/{'tree' if entry.kind == 'tree' else 'blob'}/{quote(ref)}/{path}"
    return {
        "name": entry.path.rpartition("/")[2],
        "path": entry.path,
        "sha": entry.sha,
        "size": entry.size,
        "url": url,
        "html_url": page,
        "git_url": git_url,
        "download_url": f"{html}/raw/{quote(ref)}/{path}" if entry.kind == "blob" else None,
        "type": kind,
        "_links": {"self": url, "git": git_url, "html": page},
    }


def build_file(world: World, repository: Repository, entry: Entry, ref: str, content: bytes) -> dict[str, Any]:
    """Build the document of a file with its content in base64, in lines of 76 characters as GitHub sends it."""
    document = build_content_entry(world, repository, entry, ref)
    if document["type"] == "symlink":
        return document | {"target": content.decode("utf-8", "replace")}
    return document | {"encoding": "base64", "content": base64.encodebytes(content).decode()}
