"""Whether a run may work now: one lease a thread, the caps of the account, and who goes first. Pure.

Facts in, a decision with its reason out. A run that already holds its thread's lease gets it again; a second familiar on
the same thread waits; where a cap is used up for the day it is refused with the time at which that ends. Among those who
wait, the tier of their claims decides, and then who has waited longest.
"""

from dataclasses import dataclass
from typing import Final, Literal

from coven_action.core.endpoint.caps import Caps, measure_cap

WAIT_SECONDS: Final = 30
"""After which a waiting run asks again, unless the lease that it waits for ends before."""
GIVEN_UP_SECONDS: Final = 2 * WAIT_SECONDS
"""A run that has not asked again for so long waits no more, and holds nobody up."""

TIERS_OF_TRUST: Final = ("T0", "T1", "T2")
"""From the least trusted claims to the most; see `core.oidc.authority`."""

Refusal = Literal["", "thread-busy", "quota-exceeded", "too-many-runs", "too-many-familiars", "superseded"]


@dataclass(frozen=True, slots=True)
class Holder:
    """A run that holds the lease of the thread, or waits for it.

    Args:
        number: The run's number in its account.
        familiar: Who works there.
        lease_seconds: How long it is still held; 0 for one that waits.
        asked_at: Since when it has waited, in milliseconds.
        tier: How far its claims are trusted, as `T0` to `T2`.
    """

    number: int
    familiar: str
    lease_seconds: int
    asked_at: int
    tier: str = "T0"


@dataclass(frozen=True, slots=True)
class AdmissionFacts:
    """Everything the decision depends on.

    Args:
        number: The asking run's number.
        familiar: Who would work.
        asked_at: Since when it has waited, in milliseconds.
        tier: How far its claims are trusted, as `T0` to `T2`.
        holder: Another run that holds the thread's lease, where one does.
        waiting: Other runs that wait for the same thread, and have asked again within `GIVEN_UP_SECONDS`.
        counted: Whether this run is no further task: it has been counted today already, by an earlier attempt or request, or
            is at work since yesterday.
        tasks_today: Other runs admitted today.
        running: Other runs that hold a lease in the account.
        familiars_today: Different familiars today, this one left out.
        seconds_to_midnight: Until the day (UTC) ends.
        caps: What the account may use.
        per_day: The repository's own limit of tasks a day, where it has one.
        repository_tasks_today: Other runs admitted today in this repository.
    """

    number: int
    familiar: str
    asked_at: int
    tier: str
    holder: Holder | None
    waiting: tuple[Holder, ...]
    counted: bool
    tasks_today: int
    running: int
    familiars_today: int
    seconds_to_midnight: int
    caps: Caps
    per_day: int | None = None
    repository_tasks_today: int = 0


@dataclass(frozen=True, slots=True)
class Admitted:
    """What the run is told."""

    decision: Literal["granted", "wait", "refused"]
    code: Refusal
    reason: str
    retry_after: int = 0
    warnings: tuple[str, ...] = ()


def decide_admission(facts: AdmissionFacts) -> Admitted:
    """Decide whether a run may work now."""
    refused = _refuse_for_caps(facts)
    if refused is not None:
        return refused
    if facts.holder is not None:
        wait = max(1, min(facts.holder.lease_seconds, WAIT_SECONDS))
        return Admitted(
            "wait", "thread-busy", f"{facts.holder.familiar} works on this thread in run {facts.holder.number}", wait
        )
    own_turn = _order(facts.tier, facts.asked_at, facts.number)
    earlier = [other for other in facts.waiting if _order(other.tier, other.asked_at, other.number) < own_turn]
    if earlier:
        return Admitted("wait", "thread-busy", f"run {earlier[0].number} comes first on this thread", WAIT_SECONDS)
    if facts.caps.concurrent_runs is not None and facts.running >= facts.caps.concurrent_runs:
        return Admitted(
            "wait", "too-many-runs", f"{facts.running} runs of the account are at work, as many as its tier allows",
            WAIT_SECONDS,
        )  # fmt: skip
    return Admitted("granted", "", "the thread is free", warnings=_list_warnings(facts))


def _order(tier: str, asked_at: int, number: int) -> tuple[int, int, int]:
    """Return a run's place among those who wait for a thread: the more trusted first, then who asked first."""
    return (-TIERS_OF_TRUST.index(tier), asked_at, number)


def _refuse_for_caps(facts: AdmissionFacts) -> Admitted | None:
    """Refuse what would begin one more task than is allowed; a task that was counted already is not one more."""
    if facts.counted:
        return None
    if facts.per_day is not None and facts.repository_tasks_today >= facts.per_day:
        return _refuse(f"the repository's limits.per_day of {facts.per_day} tasks is used up until midnight UTC", facts)
    if measure_cap(facts.tasks_today, facts.caps.tasks_per_day) == "hard":
        return _refuse(f"the account's {facts.caps.tasks_per_day} tasks of today are used up until midnight UTC", facts)
    if measure_cap(facts.familiars_today, facts.caps.familiars) == "hard":
        return Admitted(
            "refused",
            "too-many-familiars",
            f"{facts.caps.familiars} other familiars have worked today, as many as the tier allows",
            facts.seconds_to_midnight,
        )
    return None


def _refuse(reason: str, facts: AdmissionFacts) -> Admitted:
    return Admitted("refused", "quota-exceeded", reason, facts.seconds_to_midnight)


def _list_warnings(facts: AdmissionFacts) -> tuple[str, ...]:
    caps = facts.caps
    measured = (
        ("tasks of today", facts.tasks_today, caps.tasks_per_day),
        ("runs at the same time", facts.running, caps.concurrent_runs),
    )
    return tuple(
        f"{used + 1} of {cap} {what} are used"
        for what, used, cap in measured
        if measure_cap(used, cap, caps.soft_percent) == "soft"
    )
