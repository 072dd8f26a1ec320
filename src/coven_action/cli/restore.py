"""`coven-action restore`: check a copy of the endpoint's database, and put it in the place of the database."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from coven_action.hosted.backups import CheckedCopy, Restored


@click.command(name="restore")
@click.argument("source", metavar="COPY", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--data", type=click.Path(dir_okay=False, path_type=Path), help="The database file to replace.")
@click.option("--verify", is_flag=True, help="Check COPY; without --data that is all, and nothing is replaced.")
@click.option("--keep-memory", is_flag=True, help="Leave memory on. Without it, it waits for an administrator.")
def command(*, source: Path, data: Path | None, verify: bool, keep_memory: bool) -> None:
    """Check COPY, made by `coven-action backup`, and let it take the place of the database. Stop the endpoint first.

    COPY is always checked before anything is replaced: its digest, SQLite's own check, every row of every audit log, every
    text. The database that was there is set aside (`DATA.before-…`) and never deleted.

    What came after the copy is lost, and the audit log of every account says so in a row of its own (`audit.reseal`): runs
    that have witnessed more are told that the endpoint was restored. What was revoked or erased since stands in the copy
    again; so memory is turned off until an administrator has looked at it. Open sessions end.

    \b
    Examples:
      coven-action restore --verify /backups/coven-20261121T030000Z.db
      coven-action restore /backups/coven-20261121T030000Z.db --data coven.db

    Exit codes: 0 it is whole, and was restored if asked to; 1 it is not, and nothing was replaced; 2 wrong usage.
    """  # noqa: D301 - the backslash is click's mark for lines that stay as they are
    from coven_action.hosted.backups import check_backup, restore_backup  # noqa: PLC0415 - only who asks pays for it

    if data is None:
        if not verify:
            raise click.UsageError(
                "Say which database to replace (--data PATH), or that COPY is to be checked alone: --verify."
            )
        _tell_checked(check_backup(source), source)
        return
    from coven_action.hosted.server import hold_database  # noqa: PLC0415 - it loads the whole server

    with hold_database(data):
        restored = restore_backup(source, data, lambda: datetime.now(UTC), hold_memory=not keep_memory)
    _tell_checked(restored.checked, source)
    _tell_restored(restored, data)


def _tell_checked(checked: "CheckedCopy", source: Path) -> None:
    made_at = checked.origin.made_at
    made = f"made {datetime.fromtimestamp(made_at / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC" if made_at else "of unknown age"
    click.echo(f"{source} is whole: {made}, sha256 {checked.origin.sha256}")
    for account in checked.accounts:
        click.echo(
            f"  account {account.tenant_id}: audit log up to row {account.audit_seq}, {account.texts} texts, "
            f"{account.events} events"
        )
    if not checked.has_manifest:
        click.echo(f"There is no {source.name}.json beside it: whether rows are missing at its end cannot be told.")


def _tell_restored(restored: "Restored", data: Path) -> None:
    click.echo(f"{data} is now that copy.")
    if restored.aside is not None:
        click.echo(f"The database that was there: {restored.aside}")
    for number, stated in restored.reseals.items():
        memory = (
            "memory is off until an administrator turns it on" if stated.memory == "held" else "memory is as it was"
        )
        click.echo(f"  account {number}: row {stated.seq} says that it stands at row {stated.stands_at}; {memory}")
