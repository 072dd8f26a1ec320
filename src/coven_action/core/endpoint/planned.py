"""What `plan` learned from the endpoint, as it stands in `plan.json` for the stages that follow. Pure; no token in it."""

from typing import Literal

from coven_action.core.endpoint.wire import AuditHead, WitnessVerdict
from coven_action.core.records import Record


class PlannedHistory(Record):
    """How the endpoint answered `plan`.

    Args:
        url: Its address, from the configuration of the default branch.
        state: `admitted`, or `unreachable`: then the run goes on without memory and history.
        reason: Why it is unreachable, or what it said; one line.
        number: The run's number there.
        page: Where people look at the run; None where nobody could.
        warnings: What people should know, such as a cap that is nearly used.
        seal_key: The endpoint's public key, base64, to which what cannot be delivered is sealed on a public repository.
        witness: The newest head of the audit log that this run knows.
        witnessed: What the head that an earlier run had kept was worth.
    """

    url: str
    state: Literal["admitted", "unreachable"]
    reason: str
    number: int | None = None
    page: str | None = None
    warnings: tuple[str, ...] = ()
    seal_key: str = ""
    witness: AuditHead | None = None
    witnessed: WitnessVerdict | None = None
