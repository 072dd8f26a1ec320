"""Report a run, ask whether it may work, and end it; and show runs to people.

An attempt ends once by its own word, and is counted with it once, whenever that arrives and whatever has happened to the run
since. Every other end here is a guess (`run_states`): it frees what the attempt held, and gives way to its word.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Row, and_, func, insert, or_, select, update

from coven_action.core.endpoint.admission import (
    GIVEN_UP_SECONDS,
    AdmissionFacts,
    Admitted,
    Holder,
    decide_admission,
)
from coven_action.core.endpoint.run_states import DECLINED, ENDED, FORGOTTEN, LOST, Guess, guess_end
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
from coven_action.hosted.services.policies import build_grant, find_installation, read_caps
from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import Reading
from coven_action.hosted.store.transaction import MeterKey, RunKey, Transaction
from coven_action.hosted.times import from_milliseconds

_DAY: Final = 86_400_000
_GIVEN_UP: Final = GIVEN_UP_SECONDS * 1000
_LEASED: Final[tuple[RunState, ...]] = ("queued", "running")
_WAITING: Final[tuple[RunState, ...]] = ("review", "needs_input")
_BEGUN: Final[Mapping[str, Any]] = {"state": "queued", "failure_reason": None, "conclusion": None, "finished_at": None}
"""What holds of an attempt that begins, and of its run."""


def report_run(transaction: Transaction, principal: RunPrincipal, report: RunReport) -> Admission:
    """Record what a run says of itself, and decide whether it may work now. A repetition changes nothing but the lease.

    Raises:
        Problem: `malformed-request`: the report names another attempt or event than the session's token did;
            `wrong-state`: the attempt has said how it ended, or a later one has begun.
    """
    session = principal.session
    if (report.attempt, report.event_name) != (session.run_attempt, session.event_name):
        raise Problem("malformed-request", "The report names another attempt or event than the signed claims.")
    row = transaction.find_run(principal.run)
    if row is None:
        row = _insert_run(transaction, principal, report, asked_at=transaction.now)
    else:
        row = _renew(transaction, principal, report, row)
    facts = _gather_facts(transaction, principal.run, row, report)
    decided = decide_admission(facts)
    state: RunState = row["state"]
    lease_until = None
    if decided.decision == "granted":
        lease_until = transaction.now + report.lease_seconds * 1000
        state = "running"
        _grant(transaction, principal, row, lease_until, counted=facts.counted)
    elif decided.decision == "refused":
        state = DECLINED.state
        _end_unheard(transaction, principal.run, report.attempt, DECLINED)
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


def _insert_run(
    transaction: Transaction, principal: RunPrincipal, report: RunReport, *, asked_at: int | None
) -> Mapping[str, Any]:
    transaction.heads.run_number += 1
    transaction.execute(
        insert(schema.runs).values(
            tenant_id=transaction.tenant_id,
            **principal.run._asdict(),
            number=transaction.heads.run_number,
            state="queued",
            event_count=0,
            created_at=transaction.now,
            queued_at=transaction.now,
            asked_at=asked_at,
            updated_at=transaction.now,
            **_describe(transaction, principal, report),
        )
    )
    _insert_attempt(transaction, principal, report)
    row = transaction.find_run(principal.run)
    if row is None:
        raise Problem("internal-error")
    return row


def _renew(
    transaction: Transaction, principal: RunPrincipal, report: RunReport, row: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Record a repetition, or a new attempt of the same workflow run.

    An attempt that has ended without its own word begins again: that it had ended was a guess of ours.
    """
    if report.attempt < row["attempt"]:
        raise Problem("wrong-state", f"Attempt {row['attempt']} of this run has begun already.")
    attempt = _find_attempt(transaction, principal)
    if attempt is not None and attempt.usage is not None:
        raise Problem("wrong-state", "This attempt has said how it ended; it begins no more.")
    if report.attempt > row["attempt"]:
        return _begin_attempt(transaction, principal, report, row, asked_at=transaction.now)
    again = _BEGUN if row["state"] in ENDED else {}
    since = row["queued_at"] if _still_asks(row["asked_at"], transaction.now) and not again else transaction.now
    asked = {"queued_at": since, "asked_at": transaction.now}
    transaction.update_run(principal.run, {**_describe(transaction, principal, report), **again, **asked})
    _update_attempt(transaction, principal.run, report.attempt, {**_describe_attempt(principal, report), **again})
    return transaction.find_run(principal.run) or row


def _begin_attempt(
    transaction: Transaction,
    principal: RunPrincipal,
    report: RunReport,
    row: Mapping[str, Any],
    *,
    asked_at: int | None,
) -> Mapping[str, Any]:
    """Let a run go on with a new attempt; GitHub begins none before the last one is over."""
    guess = guess_end(row["state"])
    if guess is not None:
        _end_unheard(transaction, principal.run, row["attempt"], guess)
    begun = {**_BEGUN, "lease_until": None, "queued_at": transaction.now, "asked_at": asked_at}
    transaction.update_run(principal.run, {**_describe(transaction, principal, report), **begun})
    if _find_attempt(transaction, principal) is None:
        _insert_attempt(transaction, principal, report)
    else:
        # It was told of while an earlier one was at work.
        _update_attempt(transaction, principal.run, report.attempt, {**_describe_attempt(principal, report), **_BEGUN})
    return transaction.find_run(principal.run) or row


def _describe(transaction: Transaction, principal: RunPrincipal, report: RunReport) -> dict[str, Any]:
    reported = report.memory_policy.tenant_scope.installation_id
    return {
        "attempt": report.attempt,
        "thread": report.thread,
        "familiar": report.familiar,
        "task_kind": report.task_kind,
        "trust_scope": report.trust_scope,
        "report": report.model_dump(mode="json"),
        "tier": principal.session.tier,
        # What an operator has recorded counts before what a run says of itself.
        "installation_id": find_installation(transaction) or reported or 0,
    }


def _describe_attempt(principal: RunPrincipal, report: RunReport) -> dict[str, Any]:
    return {
        "tier": principal.session.tier,
        "scopes": principal.session.scopes.model_dump(mode="json"),
        "report": report.model_dump(mode="json"),
    }


def record_run(transaction: Transaction, principal: RunPrincipal, report: RunReport) -> Run:
    """Record an attempt that is over and could not be reported in time. It was admitted by nobody and counts for no cap.

    Raises:
        Problem: `malformed-request`: the report is another attempt's.
    """
    if report.attempt != principal.session.run_attempt:
        raise Problem("malformed-request", "The report names another attempt than the one it is relayed for.")
    row = transaction.find_run(principal.run)
    if row is not None and _find_attempt(transaction, principal) is not None:
        return _build_run(row, ())
    if row is None:
        row = _insert_run(transaction, principal, report, asked_at=None)
    elif report.attempt > row["attempt"] and not _is_alive(row, transaction.now):
        row = _begin_attempt(transaction, principal, report, row, asked_at=None)
    else:
        _insert_attempt(transaction, principal, report, FORGOTTEN)
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


def _still_asks(asked_at: int | None, now: int) -> bool:
    """Say whether somebody who asked last at a moment may be taken to wait still."""
    return asked_at is not None and now - asked_at <= _GIVEN_UP


def _is_alive(row: Mapping[str, Any], now: int) -> bool:
    """Say whether a run is at work or waits to be: nobody takes that from it who only tells of what is over."""
    if row["state"] == "running":
        return bool(row["lease_until"] > now)
    return row["state"] == "queued" and _still_asks(row["asked_at"], now)


def _insert_attempt(
    transaction: Transaction, principal: RunPrincipal, report: RunReport, guess: Guess | None = None
) -> None:
    """Add the attempt, which is in the queue, or has ended where there is a guess how."""
    ended = _BEGUN if guess is None else _describe_guess(transaction, guess)
    transaction.execute(
        insert(schema.run_attempts).values(
            tenant_id=transaction.tenant_id,
            **principal.run._asdict(),
            attempt=principal.session.run_attempt,
            started_at=transaction.now,
            **_describe_attempt(principal, report),
            **ended,
        )
    )


def _find_attempt(transaction: Transaction, principal: RunPrincipal) -> Row[Any] | None:
    """Return the session's own attempt; None where it has not been reported."""
    columns = schema.run_attempts.c
    return transaction.fetch_one(
        select(columns.usage, columns.report).where(
            columns.tenant_id == transaction.tenant_id,
            columns.repository_id == principal.run.repository_id,
            columns.run_id == principal.run.run_id,
            columns.attempt == principal.session.run_attempt,
        )
    )


def _update_attempt(transaction: Transaction, run: RunKey, attempt: int, values: Mapping[str, Any]) -> None:
    columns = schema.run_attempts.c
    transaction.execute(
        update(schema.run_attempts)
        .where(
            columns.tenant_id == transaction.tenant_id,
            columns.repository_id == run.repository_id,
            columns.run_id == run.run_id,
            columns.attempt == attempt,
        )
        .values(**values)
    )


def _describe_guess(transaction: Transaction, guess: Guess) -> dict[str, Any]:
    return {"state": guess.state, "failure_reason": guess.reason, "finished_at": transaction.now}


def _end_unheard(transaction: Transaction, run: RunKey, attempt: int, guess: Guess) -> None:
    """End a run, and its newest attempt, that has not said so itself."""
    ended = _describe_guess(transaction, guess)
    transaction.update_run(run, {**ended, "lease_until": None})
    _update_attempt(transaction, run, attempt, ended)


def _gather_facts(transaction: Transaction, run: RunKey, row: Mapping[str, Any], report: RunReport) -> AdmissionFacts:
    columns = schema.runs.c
    now = transaction.now
    others = and_(columns.tenant_id == transaction.tenant_id, columns.number != row["number"])
    today = now - now % _DAY
    of_today = (columns.counted_at >= today,)
    on_thread: Sequence[Any] = ()
    if report.thread is not None:
        on_thread = transaction.fetch_all(
            select(
                columns.number,
                columns.familiar,
                columns.lease_until,
                columns.queued_at,
                columns.asked_at,
                columns.state,
                columns.tier,
            ).where(
                others,
                columns.repository_id == run.repository_id,
                columns.thread == report.thread,
                columns.state.in_(_LEASED),
            )
        )
    holders = [
        Holder(
            other.number, other.familiar, max(0, ((other.lease_until or 0) - now) // 1000), other.queued_at, other.tier
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
        asked_at=row["queued_at"],
        tier=row["tier"],
        holder=next((each for each in holders if each.lease_seconds), None),
        waiting=tuple(
            each for each, other in zip(holders, on_thread, strict=True)
            if other.state == "queued" and _still_asks(other.asked_at, now)
        ),
        # Who is at work is not asked to begin once more because a day has ended meanwhile.
        counted=row["state"] == "running" or (row["counted_at"] or 0) >= today,
        tasks_today=count(*of_today),
        running=count(columns.state == "running", columns.lease_until > now),
        familiars_today=int(familiars[0]) if familiars is not None else 0,
        seconds_to_midnight=(today + _DAY - now) // 1000,
        caps=read_caps(transaction),
        per_day=report.per_day,
        repository_tasks_today=count(*of_today, columns.repository_id == run.repository_id),
    )  # fmt: skip


def _grant(
    transaction: Transaction, principal: RunPrincipal, row: Mapping[str, Any], lease_until: int, *, counted: bool
) -> None:
    """Let a run work, and count it as a task of today where it is not counted already."""
    transaction.update_run(
        principal.run,
        {
            "state": "running",
            "lease_until": lease_until,
            "started_at": row["started_at"] or transaction.now,
            "counted_at": row["counted_at"] if counted else transaction.now,
        },
    )
    _update_attempt(transaction, principal.run, principal.session.run_attempt, {"state": "running"})
    if row["thread"] is not None:
        _supersede(transaction, principal.run, row)
    if not counted:
        transaction.meter(_name_meter(principal.run, row, row), "runs")


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
    forgotten = and_(columns.state == "queued", columns.queued_at <= now - _DAY)
    rows = transaction.fetch_all(
        select(columns.repository_id, columns.run_id, columns.attempt, columns.number, columns.state)
        .where(columns.tenant_id == transaction.tenant_id, or_(lost, forgotten))
        .order_by(columns.number)
        .limit(batch)
    )
    for row in rows:
        run, guess = RunKey(row.repository_id, row.run_id), LOST if row.state == "running" else FORGOTTEN
        _end_unheard(transaction, run, row.attempt, guess)
        transaction.append_event(
            "run.expired", {"number": row.number, "state": guess.state}, run=run, attempt=row.attempt
        )
        transaction.append_audit(
            actor="policy",
            action="run.expire",
            subject=f"run:{row.number}",
            detail={"attempt": row.attempt, **guess._asdict()},
        )
    return len(rows)


def _name_meter(run: RunKey, row: Mapping[str, Any], said: Mapping[str, Any]) -> MeterKey:
    """Return whose use it is: by the row of the run, and by what an attempt said who works on what."""
    return MeterKey(row["installation_id"], run.repository_id, said["familiar"], said["task_kind"])


def finish_run(transaction: Transaction, principal: RunPrincipal, request: FinishRequest) -> Run:
    """End an attempt, and with the newest one the run, and give its lease back. Never refused for a cap, nor for being late.

    An earlier attempt whose word arrives after a later one has begun ends by itself, and the run goes on.

    Raises:
        Problem: `no-such-resource`: it was never reported; `wrong-state`: it has said before how it ended.
    """
    number = principal.session.run_attempt
    row, attempt = transaction.find_run(principal.run), _find_attempt(transaction, principal)
    if row is None or attempt is None:
        raise Problem("no-such-resource", "This attempt has not been reported; PUT /v1/runs/self comes first.")
    if attempt.usage is not None:
        raise Problem("wrong-state", "This attempt has said before how it ended.")
    ended = {
        "state": request.state,
        "failure_reason": request.failure_reason,
        "conclusion": request.conclusion,
        "finished_at": transaction.now,
    }
    if number == row["attempt"]:
        transaction.update_run(principal.run, {**ended, "finish": request.model_dump(mode="json"), "lease_until": None})
    _update_attempt(transaction, principal.run, number, {**ended, "usage": request.usage.model_dump()})
    key = _name_meter(principal.run, row, attempt.report)
    for name, amount in request.usage.model_dump().items():
        transaction.meter(key, name, amount)
    transaction.append_event(
        "run.finished",
        {"state": request.state, "reason": request.failure_reason, "conclusion": request.conclusion},
        run=principal.run,
        attempt=number,
    )
    transaction.append_audit(
        actor=principal.actor,
        action="run.finish",
        subject=f"run:{row['number']}",
        detail={"attempt": number, "state": request.state, "evidence_sha256": request.evidence_sha256},
    )
    finished = transaction.find_run(principal.run)
    return _build_run(finished if finished is not None else row, ())


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
