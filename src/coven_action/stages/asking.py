"""Who is behind a run: what `plan` asks GitHub about the people whose deeds and words feed it. The rules are `core.trust`'s."""

from coven_action.core.configuration.config import Config
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
    event: TriggerEvent, trust: Trust, author: Actor, *, context: JobContext, config: Config, reader: GitHubReader
) -> RunTrust | Refusal:
    """Return what everything that feeds a run is trusted with together: who asked, who wrote, who ran it again.

    Raises:
        Declined: Whoever ran it again may not be heard at all.
    """
    contributions = [judge_trigger(trust), _judge_author(event, trust, author, reader)]
    if context.task.run_attempt > 1:
        contributions.append(_judge_rerun(event, trust, context.task.run_id, config, reader))
    return decide_run_trust(contributions)


def _judge_author(event: TriggerEvent, trust: Trust, author: Actor, reader: GitHubReader) -> Contribution:
    if author.id == event.sender.id:
        return Contribution(part="text", scope=trust.scope, may_start=False, reason=trust.reason)
    # What a bot wrote is a stranger's text whatever GitHub would answer, so it is not asked.
    answer = None if author.is_bot else reader.find_permission(author.login)
    return judge_author(author, answer, event.repository)


def _judge_rerun(event: TriggerEvent, trust: Trust, run_id: int, config: Config, reader: GitHubReader) -> Contribution:
    actor = reader.get_triggering_actor(run_id)
    if actor.id == event.sender.id:
        return Contribution(part="re-run", scope=trust.scope, may_start=trust.may_start, reason=trust.reason)
    decline_for(decide_sender(actor, allow_bots=config.allow_bots))
    answer = None if actor.is_bot else reader.find_permission(actor.login)
    return judge_rerun(actor, answer, event.repository)


def check_edits(event: TriggerEvent, *, run_attempt: int, reader: GitHubReader) -> tuple[str, ...]:
    """Return what was edited since the trigger. Raises `Declined` for a re-run after an edit."""
    if event.triggered_at is None:
        return ()
    comment_node_id = event.comment.node_id if event.comment else ""
    late = find_late_edits(reader.find_edits(event.thread_number, comment_node_id), event)
    decline_for(decide_late_edits(late, run_attempt=run_attempt))
    return late
