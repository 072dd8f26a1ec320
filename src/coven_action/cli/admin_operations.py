"""`coven-action admin usage`, `sweep`, `rotate-key`, `reseal`: what an operator runs from time to time."""

import csv
import json
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from coven_action.cli.database_option import database_option, open_alone

if TYPE_CHECKING:
    from collections.abc import Callable

    from coven_action.hosted.operating import Operator
    from coven_action.hosted.store.commands import Reading

T = TypeVar("T")

_GROUPS: Final = ("installation", "repo", "familiar", "task", "day")
_DAY: Final = "%Y-%m-%d"
_LAST_DAYS: Final = 30
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


_day = click.DateTime(formats=[_DAY])


@click.command()
@database_option()
@click.option("--account", help="Of this account alone, by login or id.  [default: of every account]")
@click.option(
    "--since", type=_day, metavar="DAY", help=f"The first day, UTC.  [default: {_LAST_DAYS} days before the last]"
)
@click.option("--until", type=_day, metavar="DAY", help="The last day.  [default: today]")
@click.option(
    "--group", default="day", show_default=True, help=f"One sum for each of these, with commas: {', '.join(_GROUPS)}."
)
@click.option("--csv", "form", flag_value="csv", default=True, help="As a table with commas.  [default]")
@click.option("--json", "form", flag_value="json", help="As one JSON object a line.")
def usage(
    data: Path | str, account: str | None, since: datetime | None, until: datetime | None, group: str, form: str
) -> None:
    """Write what accounts have used, by measure: sessions, runs, events, bytes, proposals, and what runs report of models.

    Model tokens and cost are as the runs reported them; everything else is counted here, with each change.
    """
    groups = tuple(dict.fromkeys(part for part in group.split(",") if part))
    if unknown := [each for each in groups if each not in _GROUPS]:
        raise click.UsageError(f"--group knows no {unknown[0]}; it takes {', '.join(_GROUPS)}.")
    last = until or datetime.now(UTC).replace(tzinfo=None)
    first = since or last - timedelta(days=_LAST_DAYS)
    if first > last:
        raise click.UsageError("--since is after --until.")
    rows = _read_rows(data, account, groups, first.strftime(_DAY), last.strftime(_DAY))
    if form == "json":
        for row in rows:
            click.echo(json.dumps(row))
        return
    writer = csv.DictWriter(sys.stdout, ["account_id", "account", *groups, "measure", "amount"], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _disarm(value) for name, value in row.items()} for row in rows)


def _disarm(value: Any) -> Any:
    """Return a value that no spreadsheet takes for a formula.

    https://owasp.org/www-community/attacks/CSV_Injection
    """
    return f"'{value}" if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"} else value


def _read_rows(
    data: Path | str, account: str | None, groups: tuple[str, ...], since: str, until: str
) -> list[dict[str, Any]]:
    from coven_action.hosted.operating import open_database  # noqa: PLC0415 - only who asks pays for the database
    from coven_action.hosted.services.usage import read_usage  # noqa: PLC0415

    rows: list[dict[str, Any]] = []
    with open_database(data) as database:
        wanted = database.find_tenant(account) if account is not None else None
        for each in database.list_accounts():
            if wanted not in {None, each.tenant_id}:
                continue
            page = database.read(
                each.tenant_id, lambda reading: read_usage(reading, groups=groups, since=since, until=until)
            )
            who = {"account_id": each.account_id, "account": each.account_login}
            rows += [{**who, **row.group, "measure": row.measure, "amount": row.amount} for row in page.rows]
    return rows


@click.command()
@database_option()
def sweep(data: Path | str) -> None:
    """Let go what is past its time, once, in every account: lost runs, expired entries and tokens, old events.

    A server does the same every ten minutes; this is for databases that nobody serves, and for schedules of your own. Each
    account's audit log says what went. An account that cannot be swept is named, and the others are swept.

    Exit codes: 0 all of them are swept, 1 some are not, 2 wrong usage.
    """
    from coven_action.errors import Error  # noqa: PLC0415 - as above
    from coven_action.hosted.operating import describe_failure, open_database  # noqa: PLC0415

    failed = []
    with open_database(data) as database:
        for each in database.list_accounts():
            try:
                counts = _sweep_account(database, each.tenant_id)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one account, the others have their turn
                click.echo(f"{each.account_login}: failed: {describe_failure(error)}", err=True)
                failed.append(each.account_login)
                continue
            told = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())) or "nothing"
            click.echo(f"{each.account_login}: {told}")
    if failed:
        raise Error("sweep-incomplete", f"Not swept: {', '.join(failed)}.")


def _sweep_account(database: "Operator", tenant_id: int) -> dict[str, int]:
    from coven_action.hosted.services.retention import sweep as sweep_once  # noqa: PLC0415 - as above

    counts: dict[str, int] = {}
    more = True
    while more:
        swept = database.write(tenant_id, sweep_once)
        counts = {kind: counts.get(kind, 0) + swept.counts.get(kind, 0) for kind in {*counts, *swept.counts}}
        more = swept.more
    return counts


@click.command(name="rotate-key")
@database_option()
@click.option(
    "--signing-key",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The key's file.  [default: beside the database file]",
)
def rotate_key(data: Path | str, path: Path | None) -> None:
    """Make a new key sign the audit logs from the next start on; the former one stays beside it.

    The endpoint goes on publishing the former public key (`/meta`), with its signature of the new one, and goes on opening
    what runs have sealed to it. On PostgreSQL give every replica both files before it is started again.
    """
    from coven_action.hosted.operating import open_database  # noqa: PLC0415 - as above
    from coven_action.hosted.signing import rotate_signing_key  # noqa: PLC0415
    from coven_action.hosted.signing_record import record_signing_key  # noqa: PLC0415

    if path is None:
        if not isinstance(data, Path):
            raise click.UsageError("Say which key: --signing-key PATH.")
        path = data.with_name(f"{data.name}.key")
    with open_database(data) as database:
        former, signer = rotate_signing_key(path)
        database.write(0, lambda transaction: record_signing_key(transaction, signer))
        for each in database.list_accounts():
            database.write(
                each.tenant_id,
                lambda transaction: transaction.append_audit(
                    actor="operator",
                    action="signing-key.rotate",
                    subject="deployment",
                    detail={"from": former.key_id, "to": signer.key_id},
                ),
            )
    click.echo(f"{signer.describe_public_key().public_key} ({signer.key_id}) signs from the next start on")
    click.echo(f"The former key {former.key_id} lies beside it: {path}.{former.key_id}")


def _parse_moment(context: click.Context, parameter: click.Parameter, given: str | None) -> int | None:
    """Return a moment in milliseconds since 1970."""
    del context, parameter
    if given is None:
        return None
    try:
        moment = datetime.fromisoformat(given)
    except ValueError as error:
        raise click.BadParameter("it is no time such as 2026-11-21T03:00:00Z.") from error
    if moment.tzinfo is None:
        raise click.BadParameter("it has no time zone: write 2026-11-21T03:00:00Z.")
    if not _EPOCH <= moment <= datetime.now(UTC):
        raise click.BadParameter("no copy was made then.")
    return int(moment.timestamp() * 1000)


def _parse_digest(context: click.Context, parameter: click.Parameter, given: str | None) -> str | None:
    del context, parameter
    if given is not None and not re.fullmatch("[0-9a-f]{64}", given):
        raise click.BadParameter("a digest has 64 digits from 0 to f.")
    return given


@click.command()
@database_option()
@click.option("--verify", is_flag=True, help="Check every account, and write nothing. It may be served meanwhile.")
@click.option(
    "--made-at",
    metavar="TIME",
    callback=_parse_moment,
    help="When the copy was made, or the moment that was recovered to: 2026-11-21T03:00:00Z.",
)
@click.option(
    "--sha256", metavar="HEX", callback=_parse_digest, help="The digest of the copy's file, where there is one."
)
@click.option("--keep-memory", is_flag=True, help="Leave memory on. Without it, it waits for an administrator.")
def reseal(*, data: Path | str, verify: bool, made_at: int | None, sha256: str | None, keep_memory: bool) -> None:
    """Check a database that was restored with other tools, and state in every audit log that it is a copy.

    For PostgreSQL after pg_restore or a recovery to a point in time, before the endpoint is started on it: where somebody
    works on the database, nothing is done. A file is restored with `coven-action restore`, which does this too. Every row of
    every audit log, the digest of every text and the events of every account are checked before anything is written. What
    came after the copy is lost; runs that have witnessed more are told so. Open sessions end, and memory is turned off until
    an administrator has looked at it.

    \b
    Examples:
      coven-action admin reseal --verify
      coven-action admin reseal --made-at 2026-11-21T03:00:00Z

    Exit codes: 0 it is whole and, without --verify, says so; 1 it is not, and nothing was written; 2 wrong usage.
    """  # noqa: D301 - the backslash is click's mark for lines that stay as they are
    from coven_action.hosted.operating import open_database  # noqa: PLC0415 - as above
    from coven_action.hosted.services.reseal import CopyOrigin, reseal_accounts  # noqa: PLC0415
    from coven_action.hosted.services.self_check import check_account  # noqa: PLC0415

    if verify:
        if made_at is not None or sha256 is not None or keep_memory:
            raise click.UsageError("--verify writes nothing: it goes with no other option.")
        with open_database(data) as database:
            _tell_checked(database)
        return
    with open_alone(data) as database:
        tenants = tuple(_check_accounts(database, check_account))
        origin = CopyOrigin(made_at=made_at, sha256=sha256)
        for tenant_id, stated in reseal_accounts(database, tenants, origin, hold_memory=not keep_memory).items():
            click.echo(
                f"account {tenant_id}: row {stated.seq} says that it stands at row {stated.stands_at}; "
                f"memory is {'off' if stated.memory == 'held' else 'as it was'}"
            )


def _check_accounts(database: "Operator", check: "Callable[[Reading], T]") -> dict[int, T]:
    """Check every account, each as of one moment, and return what was found.

    Raises:
        Error: `backup-broken`: one of them is not whole.
    """
    from coven_action.errors import Error  # noqa: PLC0415 - as above
    from coven_action.hosted.services.retention import list_tenants  # noqa: PLC0415
    from coven_action.hosted.services.self_check import DataBroken  # noqa: PLC0415

    try:
        return {tenant_id: database.read(tenant_id, check) for tenant_id in database.read(0, list_tenants)}
    except DataBroken as broken:
        raise Error("backup-broken", f"The database: {broken}.") from broken


def _tell_checked(database: "Operator") -> None:
    from coven_action.hosted.moving import summarise_account  # noqa: PLC0415 - as above
    from coven_action.hosted.services.self_check import check_account  # noqa: PLC0415

    checked = _check_accounts(database, lambda reading: (check_account(reading), summarise_account(reading)))
    for tenant_id, (found, summary) in checked.items():
        click.echo(
            f"account {tenant_id}: audit log up to row {found.audit_seq}, {found.texts} texts, {found.events} events, "
            f"{summary.rows} rows, {summary.sha256}"
        )
