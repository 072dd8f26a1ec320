"""Assemble the brief and the frozen text it stands on. Pure: event, configuration and answers in, values out."""

from typing import Final

from coven_action.core.configuration.config import Familiar
from coven_action.core.contract.contract import (
    Brief,
    FamiliarReference,
    FixIssue,
    RepositoryReference,
    RespondToMention,
    Trigger,
)
from coven_action.core.documents import FrozenText, Target
from coven_action.core.memory.policy import MemoryFacts
from coven_action.core.memory.policy_block import BranchScope, MemoryPolicy, RepositoryScope, TenantScope
from coven_action.core.patches.extraction import extract_diffs
from coven_action.core.records import Record, sha256_hex
from coven_action.core.refusals import Refusal
from coven_action.core.sanitising.sanitiser import sanitise_input
from coven_action.core.trust.events import Actor, Repository, Thread, TriggerEvent
from coven_action.core.trust.trust import TrustScope

# A label, an assignment and a dispatch give an issue to a familiar; a comment speaks to it.
_CONTRACT_TRIGGERS: Final[dict[str, Trigger]] = {
    "issues": "issue_assigned",
    "workflow_dispatch": "issue_assigned",
    "issue_comment": "issue_mention",
}
# In characters. GitHub allows 65,536 in a body and 256 in a title; what is longer did not come from there.
MAXIMUM_TEXT: Final = 256 * 1024
MAXIMUM_TITLE: Final = 1024


class _Words(Record):
    """A text before it is cleaned, and everybody who is heard where it is read."""

    text: str
    authors: tuple[Actor, ...]


def freeze_text(event: TriggerEvent, thread: Thread, familiar: Familiar, *, read_at: str) -> FrozenText | Refusal:
    """Return the text the familiar will work on, as it stood at the trigger and without what people could not see.

    Args:
        event: What happened. Its payload's text is used even if the issue was edited since.
        thread: The issue or pull request; for a dispatch, as read once by `plan`.
        familiar: Who will read it. The built-in `patch` runtime gets the one text that holds a patch.
        read_at: When, in ISO 8601.
    """
    asked = _find_asked(event)
    if thread.is_pull_request and asked is None:
        return Refusal(
            code="nothing-asked",
            reason="The command says nothing about what to change.",
            remedy="Write it after the command, for example `/coven fix rename the parameter to rate`.",
        )
    words = _choose_words(asked, thread, familiar, event.repository.full_name)
    body = sanitise_input(words.text[:MAXIMUM_TEXT])
    title = sanitise_input(thread.title[:MAXIMUM_TITLE])
    return FrozenText(
        title=" ".join(title.text.split()),
        body=body.text,
        authors=words.authors,
        sha256=sha256_hex(f"{title.text}\n{body.text}".encode()),
        read_at=read_at,
        removed=body.describe_removed(),
    )


def _find_asked(event: TriggerEvent) -> _Words | None:
    if event.comment is None:
        return None
    # The command is the first two words; what follows is what was asked. `parse_command` has found both.
    rest = event.comment.body.split(maxsplit=2)[2:]
    return _Words(text=rest[0].strip(), authors=(event.comment.user,)) if rest else None


def _choose_words(asked: _Words | None, thread: Thread, familiar: Familiar, repository: str) -> _Words:
    issue = _Words(text=thread.body, authors=(thread.user,))
    if asked is None:
        return issue
    if thread.is_pull_request:
        # Neither the title nor the description of a pull request is part of its task.
        return asked
    # The title of an issue is read beside whatever is asked, so whoever opened it is heard in any case.
    both = tuple(dict.fromkeys((*asked.authors, thread.user)))
    if familiar.runtime == "patch":
        has_patch = bool(extract_diffs(asked.text, repository=repository).blocks)
        return _Words(text=asked.text, authors=both) if has_patch else issue
    quoted = "\n".join(f"> {line}".rstrip() for line in thread.body.splitlines())
    return _Words(text=f"{asked.text}\n\nThe issue reads:\n\n{quoted}\n", authors=both)


def build_brief(
    event: TriggerEvent,
    thread: Thread,
    text: FrozenText,
    familiar: Familiar,
    *,
    clone_url: str,
    memory_policy: MemoryPolicy,
    audit_instruction: str | None,
) -> Brief:
    """Return the brief, with the workspace's place left open for `run`."""
    repository = event.repository
    task = (
        RespondToMention(issue_number=thread.number, comment_body=text.body)
        if thread.is_pull_request
        else FixIssue(issue_number=thread.number, issue_title=text.title, issue_body=text.body)
    )
    return Brief(
        trigger=_CONTRACT_TRIGGERS[event.event_name],
        repo=RepositoryReference(
            owner=repository.owner.login,
            name=repository.name,
            clone_url=clone_url,
            default_branch=repository.default_branch,
        ),
        task=task,
        familiar=FamiliarReference(
            id=familiar.id, display_name=familiar.display_name, model=familiar.model, skills=familiar.skills
        ),
        audit_instruction=audit_instruction,
        memory_policy=memory_policy,
    )


def build_memory_facts(
    repository: Repository, target: Target, trust_scope: TrustScope, installation_id: int | None = None
) -> MemoryFacts:
    """Return what the memory policy of a run is decided from: ids, names, the branch, and the lowest trust."""
    return MemoryFacts(
        tenant=TenantScope(
            account_id=repository.owner.id, account_login=repository.owner.login, installation_id=installation_id
        ),
        repository=RepositoryScope(
            repository_id=repository.id,
            owner=repository.owner.login,
            name=repository.name,
            visibility=repository.visibility,
            default_branch=repository.default_branch,
        ),
        branch=BranchScope(base_ref=target.base_ref, head_ref=target.branch, same_repository=True),
        trust_scope=trust_scope.value,
    )
