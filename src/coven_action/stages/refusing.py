"""Tell a thread that nothing was started: over nothing that stands for work, and nothing of an outsider's over anything.

Whoever may start work is told on any thread, below what our comment says there, and the label that was used up is taken
off. Whoever may not is told once, where no comment of ours is yet: nobody from outside makes us write again and again, nor
takes from others what a comment says.
"""

from typing import Final

from coven_action.core.documents import Plan, TaskIdentity
from coven_action.core.refusals import Refusal
from coven_action.core.trust.events import TriggerEvent
from coven_action.core.trust.trust import Trust
from coven_action.stages.asking import find_trust, judge_other
from coven_action.stages.ports import GitHubReader, GitHubWriter
from coven_action.stages.status_comment import ThreadStatus, build_unstarted_status

# What is refused for who asked, or who ran it again: then nothing more has to be asked about them.
REFUSED_FOR_WHO_ASKED: Final = frozenset({"permission-unknown", "identity-mismatch", "not-a-maintainer"})


def tell_refusal(
    event: TriggerEvent,
    refusal: Refusal,
    decided: Plan,
    *,
    status: ThreadStatus,
    reader: GitHubReader,
    writer: GitHubWriter,
) -> None:
    """Say on the thread why nothing was started, and take off the label that asked for it.

    Args:
        event: What was asked.
        refusal: Why nothing is started.
        decided: The plan that says so.
        status: Our comment on the thread. It is read anew: asking an endpoint may have taken minutes.
        reader: GitHub.
        writer: GitHub.
    """
    may_start = _may_start(event, refusal, decided.task, reader)
    status.read_anew(event.thread_number)
    if may_start or not status.is_there:
        _say(event.thread_number, refusal, decided, status)
    if may_start and event.label is not None:
        writer.remove_label(event.thread_number, event.label)


def _may_start(event: TriggerEvent, refusal: Refusal, task: TaskIdentity, reader: GitHubReader) -> bool:
    """Whether whoever asked may start work here, and on a re-run also whoever ran it again."""
    if refusal.code in REFUSED_FOR_WHO_ASKED or not isinstance(find_trust(event, reader), Trust):
        return False
    if task.run_attempt == 1:
        return True
    actor = reader.get_run(task.run_id).triggering_actor
    return actor.id == event.sender.id or judge_other(actor, event, reader).may_start


def _say(number: int, refusal: Refusal, decided: Plan, status: ThreadStatus) -> None:
    before, task = status.remembered, decided.task
    values = {"plan": decided, "refusal": refusal, "pull_request": before and before.pull_request}
    if status.may_be_replaced(task):
        changed = build_unstarted_status(task, before, "declined")
        status.write(number, "comment_declined.md.j2", values, changed)
        return
    if before is not None and before.state == "working":
        # Another run is at it: of its pull request nobody can say that it stays as it is.
        values["pull_request"] = None
    status.write_beside(number, "comment_declined_beside.md.j2", values)
