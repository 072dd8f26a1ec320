"""Decide whether a run may start, from GitHub's own answer about a numeric id. Pure: facts in, `Trust` or `Refusal` out.

Names, a `[bot]` suffix and `author_association` decide nothing: a login can be given to somebody else, and a suffix can
be chosen. The permission booleans decide, not `permission` (it folds maintain into write and triage into read) nor
`role_name` (it may be a custom role).
https://docs.github.com/en/rest/collaborators/collaborators#get-repository-permissions-for-a-user
"""

from enum import StrEnum
from typing import Final

from pydantic import Field

from coven_action.core.records import Payload, Record
from coven_action.core.refusals import Refusal
from coven_action.core.trust.events import Actor, Repository

# github-actions[bot], the account of every GITHUB_TOKEN on github.com.
GITHUB_ACTIONS_BOT_ID: Final = 41898282
OWN_IDS: Final = frozenset({GITHUB_ACTIONS_BOT_ID})


def list_own_ids(app_bot_id: int | None) -> frozenset[int]:
    """Return the accounts this action writes as.

    Args:
        app_bot_id: Of the bot account of the customer's own App, where its workflow uses that App's token. An installation's
            token cannot be asked whose it is, so the workflow says it: https://docs.github.com/en/rest/users/users#get-the-authenticated-user
    """
    return OWN_IDS if app_bot_id is None else OWN_IDS | {app_bot_id}


class TrustScope(StrEnum):
    """Who is behind a run, the widest first."""

    MAINTAINER = "maintainer"
    SCHEDULED = "scheduled"
    COLLABORATOR = "collaborator"
    EXTERNAL = "external"
    FORK_PR = "fork_pr"


class Permissions(Payload):
    """The booleans of `user.permissions`. What GitHub does not send is not granted."""

    admin: bool = False
    maintain: bool = False
    push: bool = False
    triage: bool = False
    pull: bool = False


class PermissionUser(Payload):
    """The account that GitHub's answer is about."""

    id: int = Field(gt=0)
    permissions: Permissions = Permissions()


class PermissionAnswer(Payload):
    """GitHub's answer to `GET /repos/{owner}/{repo}/collaborators/{login}/permission`."""

    user: PermissionUser | None = None


class Trust(Record):
    """What GitHub's answer is worth."""

    scope: TrustScope
    may_start: bool
    reason: str


# What a permission is worth, the highest first. Read access is worth something only where not everybody has it.
_SCOPE_OF_PERMISSION: Final = (
    ("admin", TrustScope.MAINTAINER),
    ("maintain", TrustScope.MAINTAINER),
    ("push", TrustScope.MAINTAINER),
    ("triage", TrustScope.COLLABORATOR),
)
_MAY_START: Final = frozenset({TrustScope.MAINTAINER, TrustScope.SCHEDULED})


def decide_sender(sender: Actor, *, allow_bots: tuple[int, ...], app_bot_id: int | None = None) -> Refusal | None:
    """Return why an account's events start nothing, or None. Needs no request: ids alone decide."""
    if sender.id in list_own_ids(app_bot_id):
        # Otherwise our own label, comment or push could start the next run, and so on without end.
        return Refusal(code="own-event", reason="The event was caused by this action itself.", quiet=True)
    if sender.is_bot and sender.id not in allow_bots:
        return Refusal(
            code="bot-not-listed",
            reason="The event was caused by a bot that the configuration does not list.",
            remedy=f"If it may start work, add its numeric id to `allow_bots` in .github/coven.yml: {sender.id}.",
            quiet=True,
        )
    return None


def trust_listed_bot() -> Trust:
    """Return what a bot is worth whose numeric id the configuration lists.

    GitHub's permission API knows people alone ("… is not a user"), so the list is the whole decision; somebody with
    write access has made it on the default branch. That is what its asking is worth; what it wrote is a stranger's.
    """
    return Trust(scope=TrustScope.COLLABORATOR, may_start=True, reason="asked by a bot that the configuration lists")


def decide_trust(actor: Actor, answer: PermissionAnswer | None, repository: Repository) -> Trust | Refusal:
    """Return what the actor's permission is worth.

    Args:
        actor: Who triggered, from the payload.
        answer: GitHub's answer about the actor's login; None when GitHub did not give one.
        repository: Where. On a public repository everybody can read, so reading proves nothing.
    """
    if answer is None or answer.user is None:
        return _denied("permission-unknown", "GitHub gave no answer about the permission of the account that asked")
    if answer.user.id != actor.id:
        return _denied("identity-mismatch", "The login that asked now belongs to another account")
    scope = _scope(answer.user.permissions, repository)
    if scope not in _MAY_START:
        return _denied("not-a-maintainer", "Only somebody with write access to this repository can start work")
    return Trust(scope=scope, may_start=True, reason="asked by an account with write access")


def judge_account(actor: Actor, answer: PermissionAnswer | None, repository: Repository) -> TrustScope:
    """Return what an account's words are worth. Without an answer about this very id they are a stranger's."""
    if answer is None or answer.user is None or answer.user.id != actor.id:
        return TrustScope.EXTERNAL
    return _scope(answer.user.permissions, repository)


def _scope(permissions: Permissions, repository: Repository) -> TrustScope:
    for name, scope in _SCOPE_OF_PERMISSION:
        if getattr(permissions, name):
            return scope
    if permissions.pull and repository.private:
        return TrustScope.COLLABORATOR
    return TrustScope.EXTERNAL


def _denied(code: str, reason: str) -> Refusal:
    return Refusal(
        code=code,
        reason=f"{reason}.",
        remedy="Ask a maintainer of this repository to apply the label or give the command.",
    )
