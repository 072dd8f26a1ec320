"""`coven-action backup`: copy the endpoint's database while it is served."""

from datetime import UTC, datetime
from pathlib import Path

import click


@click.command(name="backup")
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--data", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The database file to copy."
)
def command(*, target: Path, data: Path) -> None:
    """Copy the endpoint's database to TARGET, a new file or a folder, and check the copy.

    The endpoint goes on meanwhile; the copy is the database as of one moment. It is checked whole: SQLite's own check, every
    row of every audit log, every text's digest. What it is lies beside it (`TARGET.json`), for `coven-action restore`.

    The key that signs the audit logs is not in it (`DATA.key`, former ones `DATA.key.*`): keep those files too, in another
    place. Without them a restored endpoint signs with a new key, and cannot open what runs have sealed to the old one.

    A database in PostgreSQL is copied with PostgreSQL's own tools; docs/hosted.md says how.

    \b
    Examples:
      coven-action backup --data coven.db /backups
      coven-action backup --data coven.db /backups/before-upgrade.db

    Exit codes: 0 there is a checked copy, 1 there is none, 2 wrong usage.
    """  # noqa: D301 - the backslash is click's mark for lines that stay as they are
    from coven_action.hosted.backups import write_backup  # noqa: PLC0415 - only who copies pays for the database

    now = datetime.now(UTC)
    if target.is_dir():
        target /= f"{data.stem}-{now:%Y%m%dT%H%M%SZ}{data.suffix}"
    backup = write_backup(data, target, lambda: now)
    rows = sum(account.audit_seq for account in backup.accounts)
    click.echo(f"{target} is a copy of {data}, {target.stat().st_size} bytes, sha256 {backup.sha256}")
    click.echo(f"Checked: {len(backup.accounts)} accounts, {rows} rows of audit logs.")
    click.echo(f"The signing key is not in it: keep {data}.key as well, in another place.")
