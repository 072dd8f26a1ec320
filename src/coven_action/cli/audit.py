"""`coven-action audit`: exports of an account, made, checked without the endpoint, and put into another one."""

import os
import sys
from pathlib import Path
from typing import IO

import click

from coven_action.cli.database_option import database_option


@click.group(name="audit")
def command() -> None:
    """Export an account, check an export offline, and import one.

    \b
    Example:
      coven-action audit export --data coven.db --account acme > acme.jsonl
      coven-action audit verify acme.jsonl
    """  # noqa: D301 - the backslash is click's mark for lines that stay as they are


@command.command()
@click.argument("export", type=click.File("rb"))
@click.option(
    "--key",
    help="The deployment's public key, base64, as you know it or from its /meta; without it the export's own is taken.",
)
@click.option("--tenant", type=click.IntRange(1), help="The account's number at the endpoint, which its heads name.")
def verify(export: IO[bytes], key: str | None, tenant: int | None) -> None:
    """Check EXPORT: every row against the manifest, and the audit log link by link, up to its signed head.

    Nothing is asked of the endpoint. The head's signature names the account's number at the endpoint; give it as --tenant
    to check it as well.

    Exit codes: 0 it is what it says, 1 it is not, 2 wrong usage.
    """
    from coven_action.core.endpoint.export_format import ExportBroken, verify_export  # noqa: PLC0415
    from coven_action.errors import Error  # noqa: PLC0415

    if key is not None and tenant is None:
        raise click.UsageError("--key checks a signature, and the signature names an account: give --tenant as well.")
    try:
        header, manifest = verify_export(export)
    except ExportBroken as error:
        raise Error("export-broken", f"The export is not what it says: {error}.", place=export.name) from error
    if tenant is not None:
        from coven_action.hosted.signing import check_head  # noqa: PLC0415

        if not check_head(manifest.head, tenant, key or manifest.public_key):
            raise Error("export-broken", "The head of the audit log was not signed with this key for this account.")
    click.echo(
        f"{header.account_login} (account {header.account_id}), exported {header.exported_at:%Y-%m-%d %H:%M:%S} UTC"
    )
    for table, summary in manifest.tables.items():
        click.echo(f"  {table:<18} {summary.rows:>9}  {summary.sha256}")
    signed = "signature holds" if tenant is not None else "signature not checked (--tenant)"
    click.echo(f"audit log whole: {manifest.head.seq} rows, head {manifest.head.head[:16]}…, {signed}")


@command.command()
@database_option()
@click.option("--account", required=True, help="The account's login or id.")
def export(data: Path | str, account: str) -> None:
    """Write an account's export to standard output."""
    from coven_action.hosted.operating import open_database  # noqa: PLC0415
    from coven_action.hosted.services.exports import iterate_export  # noqa: PLC0415
    from coven_action.hosted.settings import Settings  # noqa: PLC0415
    from coven_action.hosted.signing import load_signing_key  # noqa: PLC0415

    place: dict[str, object] = {"data": data} if isinstance(data, Path) else {"database_url": data}
    key = Settings.from_environment(os.environ, **place).find_signing_key()
    with open_database(data) as database:
        tenant_id = database.find_tenant(account)
        signer = load_signing_key(key)
        for line in database.stream(tenant_id, lambda reading: iterate_export(reading, signer)):
            sys.stdout.buffer.write(line)


@command.command(name="import")
@click.argument("export_file", metavar="EXPORT", type=click.File("rb"))
@database_option()
def import_(export_file: IO[bytes], data: Path | str) -> None:
    """Put EXPORT into a database that does not have the account yet. The export is checked whole before anything is written."""
    from coven_action.core.endpoint.export_format import ExportBroken, verify_export  # noqa: PLC0415
    from coven_action.errors import Error  # noqa: PLC0415
    from coven_action.hosted.operating import open_database  # noqa: PLC0415
    from coven_action.hosted.problems import Problem  # noqa: PLC0415
    from coven_action.hosted.services.exports import import_export  # noqa: PLC0415

    try:
        verify_export(export_file)
        export_file.seek(0)
        with open_database(data, create=True) as database:
            tenant_id, manifest = database.write_group((0,), lambda group: import_export(iter(export_file), group))
    except ExportBroken as error:
        raise Error("export-broken", f"The export is not what it says: {error}.", place=export_file.name) from error
    except Problem as problem:
        raise Error("account-enrolled", problem.detail, place=export_file.name) from problem
    rows = sum(summary.rows for summary in manifest.tables.values())
    click.echo(f"imported as account {tenant_id}: {rows} rows")
