"""Who calls, and whether GitHub would let them: tokens, permissions, private repositories.

The rules follow https://docs.github.com/rest/authentication/permissions-required-for-github-apps: public data may be
read with any token, everything else needs the permission, and what may not be seen is "Not Found".
"""

import base64
import binascii
from typing import Final

from coven_action.emulator.answers import ApiError, build_not_found
from coven_action.emulator.call import Operation
from coven_action.emulator.state import ROLES, Repository, Token
from coven_action.emulator.world import World

_LEVELS: Final = ("none", "read", "write", "admin")


def find_token(world: World, header: str | None) -> Token | None:
    """Return the token of an Authorization header (`token`, `Bearer` or `Basic`), `None` where there is no header.

    Raises:
        ApiError: 401, when the token is none of ours.
    """
    if header is None:
        return None
    scheme, _, value = header.strip().partition(" ")
    secret = _read_password(value) if scheme.casefold() == "basic" else value.strip()
    token = world.tokens.get(secret)
    if token is None or scheme.casefold() not in {"basic", "bearer", "token"}:
        raise ApiError(401, "Bad credentials")
    return token


def _read_password(value: str) -> str:
    try:
        text = base64.b64decode(value, validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""
    return text.partition(":")[2]


def has_permission(token: Token, name: str, level: str) -> bool:
    """Say whether an installation's token holds at least this level of a permission."""
    return _LEVELS.index(token.permissions.get(name, "none")) >= _LEVELS.index(level)


def can_see(repository: Repository, token: Token | None) -> bool:
    """Say whether the caller may know that the repository exists."""
    if not repository.private:
        return True
    if token is None:
        return False
    if token.installation:
        return token.repositories is None or repository.id in token.repositories
    return "pull" in ROLES[repository.get_role(token.user).base]


def check_permitted(operation: Operation, token: Token | None, repository: Repository | None) -> None:
    """Refuse a call that GitHub would refuse.

    Raises:
        ApiError: 401 without a token, 403 without the permission, 404 for what may not be seen.
    """
    if repository is not None and not can_see(repository, token):
        raise build_not_found()
    if token is None:
        if not operation.anonymous:
            raise ApiError(401, "Requires authentication")
        return
    is_public_read = operation.anonymous and (repository is None or not repository.private)
    if is_public_read or repository is None:
        return
    if token.installation:
        _check_installation(operation, token, repository)
    else:
        _check_person(operation, token, repository)


def _check_installation(operation: Operation, token: Token, repository: Repository) -> None:
    inside = token.repositories is None or repository.id in token.repositories
    needs = [need.partition("=") for need in operation.needs]
    if not inside or not any(has_permission(token, name, level) for name, _, level in needs):
        headers = {"X-Accepted-GitHub-Permissions": "; ".join(operation.needs)}
        raise ApiError(403, "Resource not accessible by integration", headers=headers)


def _check_person(operation: Operation, token: Token, repository: Repository) -> None:
    """A person needs push to see collaborators or to change; commenting needs only what reading needs.

    Whose comment may be edited, the route decides.
    """
    granted = ROLES[repository.get_role(token.user).base]
    if "push" in granted:
        return
    if operation.path.endswith("/permission"):
        raise ApiError(403, "Must have push access to view collaborator permission.")
    if operation.method != "GET" and not operation.path.endswith(("/comments", "/comments/{comment_id:int}")):
        raise ApiError(403, "Must have push access to the repository.")


def can_use_git(repository: Repository, token: Token | None, *, write: bool) -> bool:
    """Say whether the caller may fetch from the repository, or with `write` push to it."""
    if token is None:
        return not write and not repository.private
    if not token.installation:
        return ("push" if write else "pull") in ROLES[repository.get_role(token.user).base]
    inside = token.repositories is None or repository.id in token.repositories
    if not write and not repository.private:
        return True
    return inside and has_permission(token, "contents", "write" if write else "read")
