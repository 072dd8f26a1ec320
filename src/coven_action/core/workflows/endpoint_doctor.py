"""What `doctor --endpoint` says of an endpoint: for each thing a run needs of it, a fact and a remedy. Pure."""

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from coven_action.core.configuration.endpoint_urls import find_endpoint_mistake
from coven_action.core.records import Record
from coven_action.core.workflows.doctor import Diagnosis, Level

CERTIFICATE_DAYS: Final = 21
"""From here on the end of a certificate is told: that of an automatic authority should have been renewed before."""
MAX_SKEW_SECONDS: Final = 30
"""How far the endpoint's clock may be from the issuer's before good ID tokens are refused; our own stands for it here."""
_DATE: Final = "%a, %d %b %Y %H:%M:%S GMT"  # https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7
_OK: Final = 200
_UNAUTHENTICATED: Final = 401
_FORBIDDEN: Final = 403
_NOT_FOUND: Final = 404
_SIGNATURE_BYTES: Final = 64


class Reply(Record):
    """An answer of the endpoint.

    Args:
        status: Its HTTP status.
        date: Its Date header, "" where there is none.
        body: The beginning of its body.
    """

    status: int
    date: str = ""
    body: bytes = b""


def check_url(url: str) -> Diagnosis | None:
    """Judge an endpoint's address; None where it can be asked."""
    mistake = find_endpoint_mistake(url)
    if not mistake:
        return None
    return _tell("endpoint", "error", "the address cannot be used", f"Give one: {mistake}.")


def describe_unreachable(reason: str) -> Diagnosis:
    """Return the line for an endpoint that does not answer."""
    return _tell(
        "endpoint", "error", f"no answer: {reason}",
        "Look whether `coven-action serve` runs, whether the address is its public one, and whether a proxy is in between.",
    )  # fmt: skip


def check_alive(reply: Reply) -> Diagnosis:
    """Judge the answer of /healthz: whether it is an endpoint at all."""
    if reply.status == _OK and read_object(reply.body).get("status") == "alive":
        return _tell("endpoint", "ok", "it answers")
    fact = f"what answers (status {reply.status}) is no endpoint"
    return _tell("endpoint", "error", fact, "Give the address that `coven-action serve` prints, without a path.")


def check_ready(reply: Reply) -> Diagnosis:
    """Judge the answer of /readyz, of what has been found to be an endpoint: each has it, so that 404 is a proxy's."""
    if reply.status == _NOT_FOUND:
        return _tell("readiness", "ok", "not told outside: a proxy keeps /readyz to itself, which asks it")
    status = read_object(reply.body).get("status") if reply.status == _OK else None
    if status == "ready":
        return _tell("readiness", "ok", "its database can be read")
    if status == "read-only":
        return _tell(
            "readiness", "error", "it takes nothing new: its disk is nearly full", "Free space where its database lies."
        )
    told = read_object(reply.body)
    code, remedy = str(told.get("code", "no code"))[:60], str(told.get("remedy", ""))[:300]
    return _tell("readiness", "error", f"it does not take work: {code}", remedy or "Look into its log.")


def check_certificate(ends: datetime | None, now: datetime) -> Diagnosis:
    """Judge how long the endpoint's certificate still holds; None where it is reached without one, on this machine."""
    if ends is None:
        return _tell("certificate", "ok", "none: the endpoint is on this machine")
    days = (ends - now).days
    if days >= CERTIFICATE_DAYS:
        return _tell("certificate", "ok", f"it holds for {days} days")
    remedy = "Renew it; where that happens by itself, look why it has not."
    return _tell("certificate", "warning" if days >= 0 else "error", f"it holds for {days} days", remedy)


def check_clock(date: str, now: datetime) -> Diagnosis:
    """Judge the endpoint's clock by an answer's Date header."""
    try:
        told = datetime.strptime(date, _DATE).replace(tzinfo=UTC)
    except ValueError:
        return _tell("clock", "warning", "the answer has no date", "Look whether a proxy takes the Date header away.")
    skew = round((told - now).total_seconds())
    if abs(skew) <= MAX_SKEW_SECONDS:
        return _tell("clock", "ok", "its clock and this machine's agree")
    fact = f"its clock is {abs(skew)} s {'ahead of' if skew > 0 else 'behind'} this machine's"
    return _tell(
        "clock", "error", fact, "Set both by NTP: an ID token is refused that is older or newer than it may be."
    )


def check_version(reply: Reply, ours: str) -> Diagnosis:
    """Judge the version that the endpoint's description names."""
    info = read_object(reply.body).get("info")
    theirs = info.get("version") if isinstance(info, dict) else None
    if reply.status != _OK or not isinstance(theirs, str):
        return _tell(
            "version", "error", "it does not describe itself", "Look whether a proxy keeps /openapi.json back."
        )
    if theirs == ours:
        return _tell("version", "ok", f"it is {ours}, as this program")
    fact = f"it is {theirs[:40]}, this program is {ours}"
    return _tell("version", "warning", fact, "Use the same version on both sides.")


def check_access(reply: Reply | None) -> tuple[Diagnosis, ...]:
    """Judge what the endpoint answers to the token that was given, asked for the head of the audit log.

    Args:
        reply: The answer; None where no token was given.
    """
    if reply is None:
        return (_tell("access", "ok", "no COVEN_TOKEN, so nothing was asked that needs one"),)
    told = read_object(reply.body)
    if reply.status == _OK:
        return _tell("access", "ok", "COVEN_TOKEN is accepted"), _check_head(told)
    if reply.status == _FORBIDDEN:
        return (_tell("access", "ok", "COVEN_TOKEN is accepted; it is a run's, which does not see the audit log"),)
    if reply.status == _UNAUTHENTICATED:
        remedy = (
            "Make a new one: `coven-action serve --new-admin-token`; it is good on the endpoint's own machine alone."
        )
        return (_tell("access", "error", "COVEN_TOKEN is refused", remedy),)
    fact = f"COVEN_TOKEN was answered with {reply.status}: {str(told.get('code', 'no code'))[:60]}"
    return (_tell("access", "error", fact, str(told.get("remedy", ""))[:300]),)


def _check_head(head: Mapping[str, Any]) -> Diagnosis:
    """Judge the form of a head. Whether the signature holds is what `audit verify` says of an export, which has the key."""
    if _is_signature(head.get("signature")) and head.get("key_id"):
        return _tell("audit log", "ok", f"{head.get('seq')} rows, the head signed by key {str(head['key_id'])[:16]}")
    return _tell(
        "audit log", "error", "its head is not signed",
        "Look whether the key file beside the endpoint's database is the one it was started with.",
    )  # fmt: skip


def _is_signature(value: Any) -> bool:
    try:
        return len(base64.b64decode(value, validate=True)) == _SIGNATURE_BYTES
    except (TypeError, ValueError, binascii.Error):
        return False


def read_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object that a body is; an empty one where it is none."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _tell(subject: str, level: Level, fact: str, remedy: str = "") -> Diagnosis:
    return Diagnosis(subject=subject, level=level, fact=fact, remedy=remedy)
