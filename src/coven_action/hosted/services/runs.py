"""Report a run, ask whether it may work, and end it; and show runs to people."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import and_, func, insert, or_, select, update

from coven_action.core.endpoint.admission import AdmissionFacts, Admitted, Holder, decide_admission
from coven_action.core.endpoint.run_states import ENDED, may_step
from coven_action.core.endpoint.wire import (
    Admission,
    Attempt,
    FinishRequest,
    Run,
    RunPage,
    RunReport,
    RunState,
    Usage,
)
from coven_action.hosted.principals import RunPrincipal
from coven_action.hosted.problems import Problem
from coven_action.hosted.services.policies import build_grant, read_caps
from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import Reading
from coven_action.hosted.store.transaction import MeterKey, RunKey, Transaction
from coven_action.hosted.times import from_milliseconds

_DAY: Final = 86_400_000
_LEASED: Final[tuple[RunState, ...]] = ("queued", "running")
_WAITING: Final[tuple[RunState, ...]] = ("review", "needs_input")
LEASE_EXPIRED: Final = "lease_expired"


def report_run(transaction: Transaction, principal: RunPrincipal, report: RunReport) -> Admission:
    """Record what a run says of itself, and decide whether it may work now. A repetition changes nothing but the lease.

    Raises:
        Problem: `malformed-request`: the report names another attempt or event than the session's token did.
    """
    session = principal.session
    if (report.attempt, report.event_name) != (session.run_attempt, session.event_name):
        raise Problem("malformed-request", "The report names another attempt or event than the signed claims.")
    known = transaction.find_run(principal.run)
    row = known if known is not None else _insert_run(transaction, principal, report)
    if known is not None:
        row = _renew(transaction, principal, report, known)
    decided = decide_admission(_gather_facts(transaction, principal.run, row, report))
    state: RunState = row["state"]
    lease_until = None
    if decided.decision == "granted":
        lease_until = transaction.now + report.lease_seconds * 1000
        state = "running"
        _grant(transaction, principal, row, lease_until)
    transaction.append_event(
        f"run.{decided.decision}", {"reason": decided.reason, "number": row["number"]}, run=principal.run,
        attempt=report.attempt,
    )  # fmt: skip
    transaction.append_audit(
        actor=principal.actor,
        action="run.admission",
        subject=f"run:{row['number']}",
        detail={"attempt": report.attempt, "decision": decided.decision, "code": decided.code},
    )
    return _tell(transaction, principal, row, decided, state, lease_until)


def _tell(
    transaction: Transaction,
    principal: RunPrincipal,
    row: Mapping[str, Any],
    decided: Admitted,
    state: RunState,
    lease_until: int | None,
) -> Admission:
    return Admission(
        decision=decided.decision,
        retry_after=decided.retry_after,
        reason=decided.reason,
        code=decided.code,
        number=row["number"],
        state=state,
        lease_until=from_milliseconds(lease_until),
        grant=build_grant(transaction, principal),
        warnings=decided.warnings,
    )


def _insert_run(transaction: Transaction, principal: RunPrincipal, report: RunReport) -> Mapping[str, Any]:
    transaction.heads.run_number += 1
    transaction.execute(
        insert(schema.runs).values(
            tenant_id=transaction.tenant_id,
            **principal.run._asdict(),
            number=transaction.heads.run_number,
            state="queued",
            event_count=0,
            counted=False,
            **_describe_claims(principal),
            created_at=transaction.now,
            updated_at=transaction.now,
            **_describe(report),
        )
    )
    _insert_attempt(transaction, principal.run, report.attempt)
    row = transaction.find_run(principal.run)
    if row is None:
        raise Problem("internal-error")
    return row


def _renew(
    transaction: Transaction, principal: RunPrincipal, report: RunReport, row: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Record a repetition, or a new attempt of the same workflow run, which begins again in the queue."""
    if report.attempt < row["attempt"]:
        raise Problem("wrong-state", f"Attempt {row['attempt']} of this run has begun already.")
    values = _describe(report) | _describe_claims(principal)
    if report.attempt > row["attempt"]:
        values |= {
            "state": "queued",
            "failure_reason": None,
            "conclusion": None,
            "finished_at": None,
            "lease_until": None,
        }
        _insert_attempt(transaction, principal.run, report.attempt)
    transaction.update_run(principal.run, values)
    return transaction.find_run(principal.run) or row


def _describe(report: RunReport) -> dict[str, Any]:
    return {
        "attempt": report.attempt,
        "thread": report.thread,
        "familiar": report.familiar,
        "task_kind": report.task_kind,
        "trust_scope": report.trust_scope,
        "report": report.model_dump(mode="json"),
    }


def _describe_claims(principal: RunPrincipal) -> dict[str, Any]:
    return {"tier": principal.session.tier, "scopes": principal.session.scopes.model_dump(mode="json")}


def record_run(transaction: Transaction, principal: RunPrincipal, report: RunReport) -> Run:
    """Record a run that is over and could not be reported in time. It was admitted by nobody and counts for no cap."""
    row = transaction.find_run(principal.run)
    if row is None:
        row = _insert_run(transaction, principal, report)
        transaction.append_event(
            "run.relayed", {"number": row["number"]}, run=principal.run, attempt=principal.session.run_attempt
        )
        transaction.append_audit(
            actor=principal.actor,
            action="run.relayed",
            subject=f"run:{row['number']}",
            detail={"attempt": principal.session.run_attempt},
        )
    return _build_run(row, ())


def _insert_attempt(transaction: Transaction, run: RunKey, attempt: int) -> None:
    transaction.execute(
        insert(schema.run_attempts).values(
            tenant_id=transaction.tenant_id,
            **run._asdict(),
            attempt=attempt,
            state="queued",
            started_at=transaction.now,
        )
    )


def _gather_facts(transaction: Transaction, run: RunKey, row: Mapping[str, Any], report: RunReport) -> AdmissionFacts:
    columns = schema.runs.c
    now = transaction.now
    others = and_(columns.tenant_id == transaction.tenant_id, columns.number != row["number"])
    today = now - now % _DAY
    of_today = (columns.counted.is_(True), columns.created_at >= today)
    on_thread: Sequence[Any] = ()
    if report.thread is not None:
        on_thread = transaction.fetch_all(
            select(
                columns.number, columns.familiar, columns.lease_until, columns.created_at, columns.state, columns.tier
            ).where(
                others,
                columns.repository_id == run.repository_id,
                columns.thread == report.thread,
                columns.state.in_(_LEASED),
            )
        )
    holders = [
        Holder(
            other.number, other.familiar, max(0, ((other.lease_until or 0) - now) // 1000), other.created_at, other.tier
        )
        for other in on_thread
    ]

    def count(*conditions: Any) -> int:
        found = transaction.fetch_one(select(func.count()).select_from(schema.runs).where(others, *conditions))
        return int(found[0]) if found is not None else 0

    familiars = transaction.fetch_one(
        select(func.count(columns.familiar.distinct())).where(others, *of_today, columns.familiar != report.familiar)
    )
    return AdmissionFacts(
        number=row["number"],
        familiar=report.familiar,
        asked_at=row["created_at"],
        tier=row["tier"],
        holder=next((each for each in holders if each.lease_seconds), None),
        waiting=tuple(
            each for each, other in zip(holders, on_thread, strict=True)
            if other.state == "queued" and now - other.created_at < _DAY
        ),
        counted=bool(row["counted"]),
        tasks_today=count(*of_today),
        running=count(columns.state == "running", columns.lease_until > now),
        familiars_today=int(familiars[0]) if familiars is not None else 0,
        seconds_to_midnight=(today + _DAY - now) // 1000,
        caps=read_caps(transaction),
        per_day=report.per_day,
        repository_tasks_today=count(*of_today, columns.repository_id == run.repository_id),
    )  # fmt: skip


def _grant(transaction: Transaction, principal: RunPrincipal, row: Mapping[str, Any], lease_until: int) -> None:
    transaction.update_run(
        principal.run,
        {
            "state": "running",
            "counted": True,
            "lease_until": lease_until,
            "started_at": row["started_at"] or transaction.now,
        },
    )
    _update_attempt(transaction, principal, {"state": "running"})
    if row["thread"] is not None:
        _supersede(transaction, principal.run, row)
    if not row["counted"]:
        transaction.meter(_name_meter(principal.run, row), "runs")


def _supersede(transaction: Transaction, run: RunKey, row: Mapping[str, Any]) -> None:
    """Let earlier runs that waited on the thread for a person wait no more: this one goes on from what they left."""
    columns = schema.runs.c
    earlier = transaction.fetch_all(
        select(columns.run_id, columns.number).where(
            columns.tenant_id == transaction.tenant_id,
            columns.repository_id == run.repository_id,
            columns.thread == row["thread"],
            columns.state.in_(_WAITING),
            columns.number != row["number"],
        )
    )
    for other in earlier:
        key = RunKey(run.repository_id, other.run_id)
        transaction.update_run(key, {"state": "superseded"})
        transaction.append_event("run.superseded", {"number": other.number, "by": row["number"]}, run=key)


def expire_runs(transaction: Transaction, batch: int) -> int:
    """End runs that nobody will end: their lease is over, or they have waited for a day. Return how many.

    A runner that was lost says nothing. An end that arrives after all, from an outbox, takes the place of ours.
    """
    columns, now = schema.runs.c, transaction.now
    lost = and_(columns.state == "running", columns.lease_until <= now)
    forgotten = and_(columns.state == "queued", columns.created_at <= now - _DAY)
    rows = transaction.fetch_all(
        select(columns.repository_id, columns.run_id, columns.number, columns.state)
        .where(columns.tenant_id == transaction.tenant_id, or_(lost, forgotten))
        .order_by(columns.number)
        .limit(batch)
    )
    for row in rows:
        run, was_running = RunKey(row.repository_id, row.run_id), row.state == "running"
        state, reason = ("failed", LEASE_EXPIRED) if was_running else ("cancelled", None)
        transaction.update_run(run, {"state": state, "failure_reason": reason, "finished_at": now, "lease_until": None})
        transaction.append_event("run.expired", {"number": row.number, "state": state}, run=run)
        transaction.append_audit(
            actor="policy", action="run.expire", subject=f"run:{row.number}", detail={"state": state, "reason": reason}
        )
    return len(rows)


def _name_meter(run: RunKey, row: Mapping[str, Any]) -> MeterKey:
    return MeterKey(0, run.repository_id, row["familiar"], row["task_kind"])


def _update_attempt(transaction: Transaction, principal: RunPrincipal, values: Mapping[str, Any]) -> None:
    columns = schema.run_attempts.c
    transaction.execute(
        update(schema.run_attempts)
        .where(
            columns.tenant_id == transaction.tenant_id,
            columns.repository_id == principal.run.repository_id,
            columns.run_id == principal.run.run_id,
            columns.attempt == principal.session.run_attempt,
        )
        .values(**values)
    )


def finish_run(transaction: Transaction, principal: RunPrincipal, request: FinishRequest) -> Run:
    """End a run and give its lease back. Never refused for a cap.

    Raises:
        Problem: `no-such-resource`: it was never reported; `wrong-state`: it cannot end so from the state it is in.
    """
    row = transaction.find_run(principal.run)
    if row is None:
        raise Problem("no-such-resource", "The run has not been reported; PUT /v1/runs/self comes first.")
    if principal.session.run_attempt != row["attempt"]:
        raise Problem("wrong-state", f"Attempt {row['attempt']} of this run has begun.")
    # What was taken for lost may still say how it ended: that was a guess of ours.
    state: RunState = "running" if row["failure_reason"] == LEASE_EXPIRED else row["state"]
    if state in ENDED or not may_step(state, request.state):
        raise Problem("wrong-state", f"A run that is {row['state']} cannot become {request.state}.")
    ended = {
        "state": request.state,
        "failure_reason": request.failure_reason,
        "conclusion": request.conclusion,
        "finished_at": transaction.now,
    }
    transaction.update_run(principal.run, {**ended, "finish": request.model_dump(mode="json"), "lease_until": None})
    _update_attempt(transaction, principal, {**ended, "usage": request.usage.model_dump()})
    _meter_usage(transaction, principal.run, row, request.usage)
    transaction.append_event(
        "run.finished",
        {"state": request.state, "reason": request.failure_reason, "conclusion": request.conclusion},
        run=principal.run,
        attempt=principal.session.run_attempt,
    )
    transaction.append_audit(
        actor=principal.actor,
        action="run.finish",
        subject=f"run:{row['number']}",
        detail={
            "attempt": principal.session.run_attempt,
            "state": request.state,
            "evidence_sha256": request.evidence_sha256,
        },
    )
    finished = transaction.find_run(principal.run)
    return _build_run(finished if finished is not None else row, ())


def _meter_usage(transaction: Transaction, run: RunKey, row: Mapping[str, Any], usage: Usage) -> None:
    for name, amount in usage.model_dump().items():
        transaction.meter(_name_meter(run, row), name, amount)


def read_run(reading: Reading, number: int) -> Run:
    """Return a run by its number.

    Raises:
        Problem: `no-such-resource`.
    """
    columns = schema.runs.c
    row = reading.fetch_one(select(schema.runs).where(columns.tenant_id == reading.tenant_id, columns.number == number))
    if row is None:
        raise Problem("no-such-resource")
    attempts = schema.run_attempts.c
    found = reading.fetch_all(
        select(schema.run_attempts)
        .where(
            attempts.tenant_id == reading.tenant_id,
            attempts.repository_id == row.repository_id,
            attempts.run_id == row.run_id,
        )
        .order_by(attempts.attempt)
    )
    return _build_run(row._mapping, found)  # noqa: SLF001 SQLAlchemy's public name


def list_runs(
    reading: Reading, *, before: int | None, limit: int, state: str | None = None, repository_id: int | None = None
) -> RunPage:
    """Return runs, newest first, that began before the one with this number."""
    columns = schema.runs.c
    conditions = [columns.tenant_id == reading.tenant_id]
    if before is not None:
        conditions.append(columns.number < before)
    if state is not None:
        conditions.append(columns.state == state)
    if repository_id is not None:
        conditions.append(columns.repository_id == repository_id)
    rows = reading.fetch_all(select(schema.runs).where(*conditions).order_by(columns.number.desc()).limit(limit + 1))
    shown = rows[:limit]
    return RunPage(
        runs=tuple(_build_run(row._mapping, ()) for row in shown),  # noqa: SLF001 SQLAlchemy's public name
        next=str(shown[-1].number) if len(rows) > limit else None,
    )


def _build_run(row: Mapping[Any, Any], attempts: Sequence[Any]) -> Run:
    return Run(
        number=row["number"],
        repository_id=row["repository_id"],
        run_id=row["run_id"],
        attempt=row["attempt"],
        state=row["state"],
        failure_reason=row["failure_reason"],
        thread=row["thread"],
        familiar=row["familiar"],
        task_kind=row["task_kind"],
        trust_scope=row["trust_scope"],
        conclusion=row["conclusion"],
        links={**row["report"].get("links", {}), **(row["finish"] or {}).get("links", {})},
        created_at=_moment(row["created_at"]),
        started_at=_moment(row["started_at"]),
        finished_at=_moment(row["finished_at"]),
        lease_until=_moment(row["lease_until"]),
        attempts=tuple(
            Attempt(
                attempt=each.attempt,
                state=each.state,
                failure_reason=each.failure_reason,
                conclusion=each.conclusion,
                usage=Usage.model_validate(each.usage) if each.usage else None,
                started_at=_moment(each.started_at),
                finished_at=_moment(each.finished_at),
            )
            for each in attempts
        ),
    )


def _moment(value: int | None) -> Any:
    return from_milliseconds(value)
