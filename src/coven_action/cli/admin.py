"""`coven-action admin`: what an operator does with an endpoint's database: tokens, accounts, caps."""

from pathlib import Path
from typing import Final

import click

from coven_action.core.endpoint.caps import TIERS, Caps

_data = click.option(
    "--data", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The database file."
)
_UNLIMITED: Final = "unlimited"
_CAPS: Final = ("tasks-per-day", "concurrent-runs", "familiars", "memory-entries", "history-days")


@click.group(name="admin")
def command() -> None:
    """Work on an endpoint's database as its operator, beside a server or without one.

    \b
    Examples:
      coven-action admin accounts --data coven.db
      coven-action admin caps --data coven.db --account acme --set tasks-per-day=50
    """  # noqa: D301 - the backslash is click's mark for lines that stay as they are


@command.command()
@_data
def token(data: Path) -> None:
    """Make a new local administrator's token, and print it. A running server takes it with its next start."""
    from coven_action.hosted.admin_token import make_admin_token  # noqa: PLC0415 - only who asks pays for the database
    from coven_action.hosted.identifiers import RandomIds  # noqa: PLC0415
    from coven_action.hosted.operating import open_database  # noqa: PLC0415

    with open_database(data) as database:
        click.echo(database.write(0, lambda transaction: make_admin_token(transaction, RandomIds())))


@command.command()
@_data
def accounts(data: Path) -> None:
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


@command.command()
@_data
@click.option("--account", required=True, help="The account's login or id.")
@click.option("--tier", type=click.Choice(list(TIERS)), help="Take the caps of this tier.")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="CAP=NUMBER",
    help=f"Replace one cap of the tier for this account: {', '.join(_CAPS)}; {_UNLIMITED} for none.",
)
def caps(data: Path, account: str, tier: str | None, changes: tuple[str, ...]) -> None:
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
        click.echo(f"{name:<16} {_UNLIMITED if value is None else value}")


def _parse_change(change: str) -> tuple[str, int | None]:
    name, _, value = change.partition("=")
    if name not in _CAPS or not (value == _UNLIMITED or (value.isascii() and value.isdigit())):
        raise click.UsageError(f"--set takes CAP=NUMBER, where CAP is one of {', '.join(_CAPS)}.")
    if name == "history-days" and value in {_UNLIMITED, "0"}:
        raise click.UsageError("history-days takes a number from 1.")
    return name.replace("-", "_"), None if value == _UNLIMITED else int(value)
