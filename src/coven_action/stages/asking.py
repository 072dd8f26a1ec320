"""Who is behind a run: what `plan` asks GitHub about the people whose deeds and words feed it. The rules are `core.trust`'s."""

from collections.abc import Iterable
from datetime import datetime

from coven_action.core.configuration.config import Config
from coven_action.core.documents import TaskIdentity
from coven_action.core.refusals import Refusal
from coven_action.core.trust.context import JobContext
from coven_action.core.trust.edits import decide_late_edits, find_late_edits
from coven_action.core.trust.events import Actor, TriggerEvent
from coven_action.core.trust.run_trust import (
    Contribution,
    RunTrust,
    decide_run_trust,
    judge_author,
    judge_rerun,
    judge_trigger,
)
from coven_action.core.trust.trust import Trust, decide_sender, decide_trust, trust_listed_bot
from coven_action.stages.declining import decline_for
from coven_action.stages.ports import GitHubReader


def find_trust(event: TriggerEvent, reader: GitHubReader) -> Trust | Refusal:
    """Return what whoever asked is trusted with."""
    if event.sender.is_bot:
        # Only the configuration's own bots have come this far.
        return trust_listed_bot()
    return decide_trust(event.sender, reader.find_permission(event.sender.login), event.repository)


def find_run_trust(
    event: TriggerEvent,
    trust: Trust,
    authors: Iterable[Actor],
    *,
    context: JobContext,
    config: Config,
    reader: GitHubReader,
) -> RunTrust | Refusal:
    """Return what everything that feeds a run is trusted with together: who asked, who wrote, who ran it again.

    Args:
        event: What happened.
        trust: What whoever asked is trusted with.
        authors: Everybody whose words the familiar reads. Each counts by itself, so none lends another anything.
        context: The job.
        config: The configuration of the default branch.
        reader: GitHub.

    Raises:
        Declined: Whoever ran it again may not be heard at all.
    """
    contributions = [judge_trigger(trust), *(_judge_author(event, trust, author, reader) for author in authors)]
    if context.task.run_attempt > 1:
        contributions.append(_judge_rerun(event, trust, context.task.run_id, config, reader))
    return decide_run_trust(contributions)


def _judge_author(event: TriggerEvent, trust: Trust, author: Actor, reader: GitHubReader) -> Contribution:
    # A listed bot may ask, but what it wrote may be anybody's: `judge_author` makes it a stranger's.
    if author.id == event.sender.id and not author.is_bot:
        return Contribution(part="text", scope=trust.scope, may_start=False, reason=trust.reason)
    # What a bot wrote is a stranger's text whatever GitHub would answer, so it is not asked.
    answer = None if author.is_bot else reader.find_permission(author.login)
    return judge_author(author, answer, event.repository)


def _judge_rerun(event: TriggerEvent, trust: Trust, run_id: int, config: Config, reader: GitHubReader) -> Contribution:
    actor = reader.get_run(run_id).triggering_actor
    if actor.id == event.sender.id:
        return Contribution(part="re-run", scope=trust.scope, may_start=trust.may_start, reason=trust.reason)
    decline_for(decide_sender(actor, allow_bots=config.allow_bots))
    return judge_other(actor, event, reader)


def judge_other(actor: Actor, event: TriggerEvent, reader: GitHubReader) -> Contribution:
    """Return what a re-run by somebody else than whoever asked is trusted with."""
    answer = None if actor.is_bot else reader.find_permission(actor.login)
    return judge_rerun(actor, answer, event.repository)


def check_edits(event: TriggerEvent, *, task: TaskIdentity, reader: GitHubReader) -> tuple[str, ...]:
    """Return what was edited since the trigger. Raises `Declined` for a re-run after an edit."""
    since = _find_trigger_time(event, task, reader)
    if since is None:
        return ()
    comment_node_id = event.comment.node_id if event.comment else ""
    late = find_late_edits(reader.find_edits(event.thread_number, comment_node_id), event, since=since)
    decline_for(decide_late_edits(late, run_attempt=task.run_attempt))
    return late


def _find_trigger_time(event: TriggerEvent, task: TaskIdentity, reader: GitHubReader) -> datetime | None:
    if event.triggered_at is not None or task.run_attempt == 1:
        return event.triggered_at
    # A dispatch carries no text. Its first attempt reads it; a re-run would read what it has become by then.
    return reader.get_run(task.run_id).created_at
