"""`coven-action memory --endpoint`: the memory that an endpoint keeps, shown and decided about by a person."""

import secrets
from collections import Counter
from collections.abc import Iterable
from typing import Final

import click

from coven_action.client import Client
from coven_action.core.endpoint.revoking import TARGET_ADVICE, parse_target
from coven_action.core.endpoint.wire import DecisionRequest, ErasureReceipt, Memory, MemoryUse, RevokeRequest
from coven_action.core.memory.keys import is_entry_id
from coven_action.core.sanitising.sanitised import clean_characters
from coven_action.errors import EnvironmentFault

TOKEN_VARIABLE: Final = "COVEN_TOKEN"  # noqa: S105 - the name of a variable
_reason = click.option("--reason", default="", help="Why, for the audit log.")


@click.group(name="endpoint")
def command() -> None:
    """The memory that an endpoint keeps."""


def connect(context: click.Context) -> Client:
    """Return a client for the endpoint that the group's options name.

    Raises:
        EnvironmentFault: `missing-environment`: there is no token.
    """
    given = context.obj or {}
    token = given.get("token")
    if not token:
        raise EnvironmentFault(
            "missing-environment",
            f"{TOKEN_VARIABLE} is not set.",
            remedy="Set it to the local administrator's token, which `coven-action serve` printed at its first start.",
        )
    return Client(given["endpoint"], token=token, tenant=given.get("tenant"))


def _say(text: str) -> str:
    """Return a text of the endpoint as a terminal may show it."""
    return clean_characters(text, Counter()).replace("\n", " ")


@command.command(name="list")
@click.option("--state", help="Only entries in this state: pending, approved, stale, revoked, …")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def list_command(context: click.Context, state: str | None, *, as_json: bool) -> None:
    """Show every entry with its state, and what waits for a decision."""
    with connect(context) as client:
        entries = list(client.iterate_memory(**({"state": state} if state else {})))
    if as_json:
        for entry in entries:
            click.echo(entry.model_dump_json())
        return
    if not entries:
        click.echo("No entries.")
    for entry in entries:
        waiting = f" · {len(entry.waiting)} waiting" if entry.waiting else ""
        text = entry.current or (entry.waiting[0] if entry.waiting else None)
        click.echo(f"{entry.id}  {entry.state:<10} {_say(entry.key)}{waiting}  {_say(text.text)[:80] if text else ''}")


@command.command(name="show")
@click.argument("entry_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def show_command(context: click.Context, entry_id: str, *, as_json: bool) -> None:
    """Show one entry: its state, who approved it, its text, and every wording that waits."""
    with connect(context) as client:
        entry = client.get_memory(_check_id(entry_id))
    if as_json:
        click.echo(entry.model_dump_json(indent=2))
        return
    click.echo(f"{entry.id}  {_say(entry.canonical_key)}  {entry.state}, revision {entry.revision}")
    if entry.approved_by:
        click.echo(f"approved by {_say(entry.approved_by)} at {entry.approved_at}, expires {entry.expires_at}")
    for name, wordings in (("holds", (entry.current,) if entry.current else ()), ("waits", entry.waiting)):
        for wording in wordings:
            cited = ", ".join(f"{_say(each.path)}:{each.start}-{each.end}" for each in wording.citations)
            flags = f" [{', '.join(wording.flags)}]" if wording.flags else ""
            click.echo(
                f"\n{name} {wording.version[:12]} ({wording.kind}, shown by {cited}){flags}\n  {_say(wording.text)}"
            )


@command.command(name="uses")
@click.argument("entry_id", metavar="ID")
@click.pass_context
def uses_command(context: click.Context, entry_id: str) -> None:
    """Show every run that was offered, has read or has cited an entry."""
    with connect(context) as client:
        _tell_uses(client.iterate_uses(_check_id(entry_id)))


def _tell_uses(uses: Iterable[MemoryUse]) -> int:
    """Show uses as they come, and return how many there were."""
    told = 0
    for use in uses:
        number = f"run {use.number}" if use.number is not None else f"workflow run {use.run_id}"
        click.echo(f"{use.kind:<8} {number} at {use.at}  {_say(use.reference)}")
        told += 1
    if not told:
        click.echo("No run was offered it.")
    return told


def _add_decision(name: str, summary: str) -> None:
    @command.command(name=name, help=summary)
    @click.argument("entry_id", metavar="ID")
    @click.option("--version", help="Which wording, where several wait; the first digits are enough.")
    @_reason
    @click.pass_context
    def decide(context: click.Context, entry_id: str, version: str | None, reason: str) -> None:
        with connect(context) as client:
            entry = client.get_memory(_check_id(entry_id))
            request = DecisionRequest(version=_find_version(entry, version), reason=reason)
            # A key of its own for each decision: to decide the same again later is another decision.
            decided = client.decide(entry.id, name, request, revision=entry.revision, key=secrets.token_hex(16))
        click.echo(f"{decided.id} {_say(decided.key)} is {decided.state}")


def _find_version(entry: Memory, start: str | None) -> str | None:
    waiting = [wording.version for wording in entry.waiting]
    if start is None:
        return waiting[0] if len(waiting) == 1 else None
    found = [version for version in waiting if version.startswith(start)]
    if len(found) != 1:
        raise click.UsageError(f"--version takes the first digits of one of: {', '.join(waiting) or 'none waits'}.")
    return found[0]


for _name, _summary in (
    ("approve", "Approve a wording that waits: from the next run on it is offered."),
    ("reject", "Reject a wording that waits."),
    ("restore", "Let a revoked entry hold again."),
):
    _add_decision(_name, _summary)


@command.command(name="revoke")
@click.argument("what", metavar="ID|TARGET")
@_reason
@click.pass_context
def revoke_command(context: click.Context, what: str, reason: str) -> None:
    """Take back an entry, or many at once.

    \b
    TARGET is one of
      repo/REPOSITORY_ID              what a repository remembers
      repo/REPOSITORY_ID/NAMESPACE    a namespace of it
      tenant/ACCOUNT_ID               what the account's repositories share
      account/ACCOUNT_ID              everything, of all its repositories
      installation/INSTALLATION_ID    the same, by the number of the App's installation

    From the next read on nothing of it is offered, and nothing can be proposed under it. The newest runs that it may have
    influenced are listed; `uses` lists all of an entry.
    """  # noqa: D301 - the backslash is click's mark for lines that stay as they are
    with connect(context) as client:
        if is_entry_id(what):
            entry = client.get_memory(what)
            key = secrets.token_hex(16)
            client.decide(what, "revoke", DecisionRequest(reason=reason), revision=entry.revision, key=key)
            click.echo(f"{what} {_say(entry.key)} is revoked")
            _tell_uses(client.iterate_uses(what))
            return
        if parse_target(what) is None:
            raise click.UsageError(f"ID is mem_ and 16 digits; TARGET is {TARGET_ADVICE}.")
        revoked = client.revoke_prefix(RevokeRequest(prefix=what, reason=reason), key=secrets.token_hex(16))
    click.echo(f"{revoked.entries} entries under {revoked.prefix} are revoked")
    told = _tell_uses(revoked.runs)
    if revoked.uses > told:
        click.echo(f"and {revoked.uses - told} uses before; `memory --endpoint URL uses ID` shows all of an entry")


@command.command(name="erase")
@click.argument("entry_id", metavar="ID")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_reason
@click.pass_context
def erase_command(context: click.Context, entry_id: str, reason: str, *, yes: bool) -> None:
    """Erase an entry with every wording it ever had. It cannot be brought back, and its key is closed for good."""
    with connect(context) as client:
        entry = client.get_memory(_check_id(entry_id))
        if not yes:
            click.confirm(f"Erase {_say(entry.key)} for good?", abort=True)
        request = DecisionRequest(reason=reason)
        receipt = client.erase(entry.id, request, revision=entry.revision, key=secrets.token_hex(16))
    click.echo(receipt.model_dump_json(indent=2))


@command.command(name="receipts")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def receipts_command(context: click.Context, *, as_json: bool) -> None:
    """Show the receipt of every erasure, the newest first: what was deleted, and where something of it may still lie."""
    told = 0
    with connect(context) as client:
        for receipt in client.iterate_erasures():
            click.echo(receipt.model_dump_json() if as_json else _render_receipt(receipt))
            told += 1
    if not told and not as_json:
        click.echo("Nothing was erased.")


def _render_receipt(receipt: ErasureReceipt) -> str:
    counts = ", ".join(f"{count} {name}" for name, count in sorted(receipt.counts.items()))
    gaps = "".join(f"\n  {_say(gap)}" for gap in receipt.gaps)
    return (
        f"{receipt.receipt_id}  {receipt.at}  {', '.join(receipt.erased)}: {counts}, row {receipt.audit_sequence}{gaps}"
    )


def _check_id(entry_id: str) -> str:
    if not is_entry_id(entry_id):
        raise click.UsageError("ID is mem_ and 16 hexadecimal digits; `list` shows them.")
    return entry_id
