"""`coven-action admin`: what an operator does with an endpoint's database: tokens, accounts, caps."""

import base64
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from coven_action.cli.admin_operations import reseal, rotate_key, sweep, usage
from coven_action.cli.database_option import VARIABLE, database_option
from coven_action.core.endpoint.caps import TIERS, Caps

if TYPE_CHECKING:
    from coven_action.hosted.services.suspension import AccountStatus

_data = database_option()
_OPERATIONS: Final = (usage, sweep, rotate_key, reseal)
_UNLIMITED: Final = "unlimited"
_CAPS: Final = tuple(name.replace("_", "-") for name in Caps.model_fields)
# Caps that are numbers in any case, or rates, which cannot be nothing.
_LEAST: Final = {"history-days": 1, "requests-per-minute": 1, "run-requests-per-minute": 1, "soft-percent": 1}
_LIMITED: Final = frozenset({"history-days", "soft-percent"})
_MOST: Final = {"soft-percent": 100}


@click.group(name="admin")
def command() -> None:
    """Work on an endpoint's database as its operator, beside a server or without one.

    \b
    Examples:
      coven-action admin accounts --data coven.db
      coven-action admin caps --data coven.db --account acme --set tasks-per-day=50
      coven-action admin usage --data coven.db --since 2026-11-01 --group repo,day --csv
      coven-action admin suspend --data coven.db --account acme --reason "asked by its owner"
    """  # noqa: D301 - the backslash is click's mark for lines that stay as they are


for _operation in _OPERATIONS:
    command.add_command(_operation)


@command.command()
@_data
def token(data: Path | str) -> None:
    """Make a new local administrator's token, and print it. A running server takes it with its next start."""
    from coven_action.hosted.admin_token import make_admin_token  # noqa: PLC0415 - only who asks pays for the database
    from coven_action.hosted.identifiers import RandomIds  # noqa: PLC0415
    from coven_action.hosted.operating import open_database  # noqa: PLC0415

    with open_database(data) as database:
        click.echo(database.write(0, lambda transaction: make_admin_token(transaction, RandomIds())))


@command.command(name="signing-key")
@_data
@click.option(
    "--key",
    "path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="The file of the key that signs from the next start on.",
)
def signing_key(data: Path | str, path: Path) -> None:
    """Let another key sign the audit log, and print its public half. Replicas with the old file do not start any more."""
    from coven_action.hosted.operating import open_database  # noqa: PLC0415 - as above
    from coven_action.hosted.signing import load_signing_key  # noqa: PLC0415
    from coven_action.hosted.signing_record import record_signing_key  # noqa: PLC0415

    signer = load_signing_key(path)
    with open_database(data) as database:
        database.write(0, lambda transaction: record_signing_key(transaction, signer))
    click.echo(base64.b64encode(signer.public_key).decode())


@command.command()
def partitions() -> None:
    """Make the tables of the next months of events on PostgreSQL, and drop the empty ones of months that are over.

    Takes the DATABASE_URL of the role that owns the tables. Run it every week or so: three months are made ahead. Where there
    is something to do, it waits for those who read events, two seconds at a time, so that others do not wait behind it for
    long; where they never end, it changes nothing and says so (`database-busy`).
    """
    from coven_action.hosted.store.postgresql_checks import parse_database_url  # noqa: PLC0415
    from coven_action.hosted.store.postgresql_migration import maintain_partitions  # noqa: PLC0415

    url = os.environ.get(VARIABLE)
    if not url:
        raise click.UsageError(f"{VARIABLE} has to name the database; a file has no such tables.")
    done = maintain_partitions(parse_database_url(url), datetime.now(UTC))
    for what, names in (("made", done.made), ("dropped", done.dropped)):
        click.echo(f"{what}: {', '.join(names) or 'nothing'}")
    if done.moved:
        click.echo(f"moved: {done.moved} events for which there had been no table")


@command.command()
@_data
def accounts(data: Path | str) -> None:
    """List the accounts: number, login, id, tier, status, repositories, issuer."""
    from coven_action.hosted.operating import open_database  # noqa: PLC0415 - as above

    with open_database(data) as database:
        rows = database.list_accounts()
    for row in rows:
        click.echo(
            f"{row.tenant_id:>4}  {row.account_login:<24} {row.account_id:>12}  {row.tier:<10} {row.status:<10} "
            f"{row.repository_count:>5}  {row.issuer}"
        )
    if not rows:
        click.echo("No accounts. `coven-action enrol --help` shows how to enrol one.")


_account = click.option("--account", required=True, help="The account's login or id.")
_reason = click.option("--reason", default="", help="Why, for the account's audit log.")


@command.command()
@_data
@_account
@_reason
def suspend(data: Path | str, account: str, reason: str) -> None:
    """Refuse every run of an account, and end the sessions its runs have open. People keep their data and their say."""
    ended = _change_status(data, account, "suspended", reason)
    click.echo(f"{account} is suspended; {ended} open sessions ended")


@command.command()
@_data
@_account
@_reason
def release(data: Path | str, account: str, reason: str) -> None:
    """Admit the runs of an account again."""
    _change_status(data, account, "active", reason)
    click.echo(f"{account} may report again")


def _change_status(data: Path | str, account: str, status: "AccountStatus", reason: str) -> int:
    from coven_action.hosted.ended_sessions import mark_ended  # noqa: PLC0415 - as above
    from coven_action.hosted.operating import open_database  # noqa: PLC0415
    from coven_action.hosted.services.suspension import change_account_status  # noqa: PLC0415

    with open_database(data) as database:
        tenant_id = database.find_tenant(account)
        ended = database.write(
            tenant_id, lambda transaction: change_account_status(transaction, "operator", status, reason)
        )
    if isinstance(data, Path):
        mark_ended(data)
    return ended


@command.command()
@_data
@_account
@click.option("--tier", type=click.Choice(list(TIERS)), help="Take the caps of this tier.")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="CAP=NUMBER",
    help=f"Replace one cap of the tier for this account: {', '.join(_CAPS)}; {_UNLIMITED} for none.",
)
def caps(data: Path | str, account: str, tier: str | None, changes: tuple[str, ...]) -> None:
    """Show what an account may use, or change it. What ends work, takes back or shows is never refused for a cap."""
    from coven_action.hosted.operating import open_database  # noqa: PLC0415 - as above
    from coven_action.hosted.services.policies import read_caps, set_caps  # noqa: PLC0415

    replaced = dict(_parse_change(change) for change in changes)
    with open_database(data) as database:
        tenant_id = database.find_tenant(account)
        if tier or replaced:
            database.write(tenant_id, lambda transaction: set_caps(transaction, "operator", tier, replaced))
        found: Caps = database.write(tenant_id, read_caps)
    for name in _CAPS:
        value = getattr(found, name.replace("-", "_"))
        click.echo(f"{name:<24} {_UNLIMITED if value is None else value}")


def _parse_change(change: str) -> tuple[str, int | None]:
    name, _, value = change.partition("=")
    if name not in _CAPS or not (value == _UNLIMITED or (value.isascii() and value.isdigit())):
        raise click.UsageError(f"--set takes CAP=NUMBER, where CAP is one of {', '.join(_CAPS)}.")
    number = None if value == _UNLIMITED else int(value)
    least, most = _LEAST.get(name, 0), _MOST.get(name)
    if (number is None and name in _LIMITED) or (number is not None and not least <= number <= (most or number)):
        raise click.UsageError(f"{name} takes a number from {least}{'' if most is None else f' to {most}'}.")
    return name.replace("-", "_"), number
