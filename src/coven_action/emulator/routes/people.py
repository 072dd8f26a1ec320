"""Routes about people, permissions and the interface itself."""

from typing import Final

from coven_action.emulator.answers import Answer, ApiError, build_not_found
from coven_action.emulator.call import Call, Operation
from coven_action.emulator.documents.people import build_permission, build_public_user
from coven_action.emulator.limits import build_rate_limit
from coven_action.emulator.state import User


def get_authenticated_user(call: Call) -> Answer:
    """Answer who acts; a token of Actions is no user, and GitHub says so."""
    if call.token is not None and call.token.installation:
        raise ApiError(403, "Resource not accessible by integration")
    return Answer(build_public_user(call.world, call.user))


def get_user(call: Call) -> Answer:
    """Answer who has a login now."""
    user = call.world.find_user(call.path["login"])
    if user is None:
        raise build_not_found()
    return Answer(build_public_user(call.world, user))


def get_rate_limit(call: Call) -> Answer:
    """Answer what is left of the hour; asking costs nothing."""
    return Answer(build_rate_limit(call.world, call.token))


def get_meta(call: Call) -> Answer:
    """Answer the part of the meta document that is true of a local GitHub."""
    return Answer({"verifiable_password_authentication": False, "domains": {"website": [call.world.html_url]}})


def _require_person(call: Call) -> User:
    """Return the named user; bots and unknown logins are no users to this route."""
    user = call.world.find_user(call.path["login"])
    if user is None or user.type != "User":
        raise ApiError(404, f"{call.path['login']} is not a user")
    return user


def get_permission(call: Call) -> Answer:
    """Answer which role a user has; on a public repository everybody has at least `read`."""
    user = _require_person(call)
    return Answer(build_permission(call.world, user, call.repository.get_role(user)))


def check_collaborator(call: Call) -> Answer:
    """Answer 204 for a collaborator (invited, or the owner) and 404 for everybody else."""
    user = call.world.find_user(call.path["login"])
    known = user is not None and (user.id in call.repository.collaborators or user.id == call.repository.owner.id)
    if not known:
        raise build_not_found()
    return Answer(status=204)


_COLLABORATORS: Final = "/repos/{owner}/{repo}/collaborators/{login}"
OPERATIONS: Final = (
    Operation("GET", "/user", get_authenticated_user),
    Operation("GET", "/users/{login}", get_user, anonymous=True),
    Operation("GET", "/rate_limit", get_rate_limit, anonymous=True),
    Operation("GET", "/meta", get_meta, anonymous=True),
    Operation("GET", f"{_COLLABORATORS}/permission", get_permission, needs=("metadata=read",)),
    Operation("GET", _COLLABORATORS, check_collaborator, needs=("metadata=read",)),
)
