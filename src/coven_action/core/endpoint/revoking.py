"""What a revocation at the endpoint may name: keys and their beginnings, or everything that an account remembers. Pure.

`account/<account id>` stands for every entry of the account, those of all its repositories and those that it shares, now
and later. `installation/<installation id>` is another way to say it, by the number of the App that the account has
installed. Canonical keys never begin so; a run is told the beginnings of keys that are meant for it.
"""

import re
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple, cast

from coven_action.core.endpoint.wire import ID_LIMIT
from coven_action.core.memory.keys import is_revocable

Scope = Literal["repo", "tenant", "account", "installation"]

_WHOLE: Final = re.compile(r"(?:account|installation)/[1-9][0-9]{0,18}")
TARGET_ADVICE: Final = (
    "repo/<id> or tenant/<id> with up to two segments of a key, account/<account id>, or installation/<installation id>"
)


class Target(NamedTuple):
    """What is to be revoked.

    Args:
        scope: Whose number follows: a repository's, an account's (`tenant` for what it shares, `account` for everything),
            or an installation's.
        number: GitHub's.
        text: As it is written.
    """

    scope: Scope
    number: int
    text: str

    @property
    def is_whole(self) -> bool:
        """Whether it is everything that an account remembers."""
        return self.scope in ("account", "installation")


def parse_target(text: str) -> Target | None:
    """Return what a text names, None where it names nothing that could be revoked."""
    if not is_revocable(text) and _WHOLE.fullmatch(text) is None:
        return None
    scope, number = text.split("/")[:2]
    return Target(cast("Scope", scope), int(number), text) if int(number) < ID_LIMIT else None


def render_account(account_id: int) -> str:
    """Return the target that stands for everything that an account remembers."""
    return f"account/{account_id}"


def spell_out(revoked: Iterable[str], repository_id: int | None) -> tuple[str, ...]:
    """Return revocations as beginnings of canonical keys, as far as they concern a repository or what its account shares.

    Args:
        revoked: Keys, their beginnings, and accounts.
        repository_id: The repository; None where only what the account shares is looked at.
    """
    spelled: list[str] = []
    for text in revoked:
        scope, _, number = text.partition("/")
        if scope != "account":
            spelled.append(text)
            continue
        spelled += [f"tenant/{number}"] + ([] if repository_id is None else [f"repo/{repository_id}"])
    return tuple(sorted(set(spelled)))
