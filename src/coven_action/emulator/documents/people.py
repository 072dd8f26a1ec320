"""Users, as lists and objects of the REST interface show them."""

from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from coven_action.emulator.state import ROLES, Role, User
from coven_action.emulator.world import World

_USER_LINKS: Final = {
    "followers_url": "/followers",
    "following_url": "/following{/other_user}",
    "gists_url": "/gists{/gist_id}",
    "starred_url": "/starred{/owner}{/repo}",
    "subscriptions_url": "/subscriptions",
    "organizations_url": "/orgs",
    "repos_url": "/repos",
    "events_url": "/events{/privacy}",
    "received_events_url": "/received_events",
}


def format_time(moment: datetime) -> str:
    """Return a time as GitHub writes it: `2026-01-05T09:00:00Z`."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def format_optional_time(moment: datetime | None) -> str | None:
    """Return a time as GitHub writes it, or `None`."""
    return None if moment is None else format_time(moment)


def build_user(world: World, user: User) -> dict[str, Any]:
    """Build the short document of a user (`simple-user`)."""
    login = quote(user.login, safe="")
    url = f"{world.api_url}/users/{login}"
    return {
        "login": user.login,
        "id": user.id,
        "node_id": f"U_{user.id}",
        "avatar_url": f"{world.html_url}/{login}.png",
        "gravatar_id": "",
        "url": url,
        "html_url": f"{world.html_url}/{login}",
        "type": user.type,
        "user_view_type": "public",
        "site_admin": False,
    } | {name: url + suffix for name, suffix in _USER_LINKS.items()}


def build_public_user(world: World, user: User) -> dict[str, Any]:
    """Build the long document of a user, as far as anybody may see it."""
    nothing = dict.fromkeys(("name", "company", "location", "email", "hireable", "bio", "twitter_username"))
    counts = dict.fromkeys(("public_repos", "public_gists", "followers", "following"), 0)
    times = {"created_at": format_time(user.created_at), "updated_at": format_time(user.created_at)}
    return build_user(world, user) | nothing | {"blog": ""} | counts | times


def build_permission(world: World, user: User, role: Role) -> dict[str, Any]:
    """Build the answer about a collaborator: `permission` folds roles, `user.permissions` says all.

    GitHub folds maintain into write and triage into read, and shows custom roles only in `role_name`.
    """
    granted = ROLES[role.base]
    booleans = {name: name in granted for name in ("admin", "maintain", "push", "triage", "pull")}
    folded = {"maintain": "write", "triage": "read"}.get(role.base, role.base)
    return {
        "permission": folded,
        "user": build_user(world, user) | {"permissions": booleans, "role_name": role.name},
        "role_name": role.name,
    }
