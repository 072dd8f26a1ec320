"""`coven-action serve`: the endpoint on this machine, on a database in one file or on PostgreSQL."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from coven_action.cli.boundary import build_redactor
from coven_action.cli.database_option import VARIABLE

if TYPE_CHECKING:
    from coven_action.hosted.server import Started


@click.command(name="serve")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="COVEN_CONFIG",
    help="A TOML file with settings. The environment comes before it, and options before both.",
)
@click.option("--host", help="The address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65_535), help="The port; 0 takes a free one.  [default: 8766]")
@click.option(
    "--data",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The database file; it is made where it is missing.",
)
@click.option("--database", "database_url", metavar="URL", help="The PostgreSQL database instead: postgresql://…")
@click.option(
    "--signing-key",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The key that signs the audit log; it is made where it is missing.  [default: beside the database file]",
)
@click.option(
    "--admin-port",
    type=click.IntRange(0, 65_535),
    help="The port on loopback where the administrator's token holds, beside a --public-url.  [default: 8767]",
)
@click.option("--public-url", help="The https address that runs and people use, without a slash at its end.")
@click.option(
    "--issuer",
    "issuers",
    metavar="URL[=ACCOUNT_ID]",
    multiple=True,
    help="Accept ID tokens of this issuer; one that is not GitHub's own speaks for one account, by its id.  "
    "[default: GitHub's; may be repeated]",
)
@click.option("--new-admin-token", is_flag=True, help="Make a new local administrator's token and print it.")
def command(
    *,
    config: Path | None,
    host: str | None,
    port: int | None,
    data: Path | None,
    database_url: str | None,
    signing_key: Path | None,
    admin_port: int | None,
    public_url: str | None,
    issuers: tuple[str, ...],
    new_admin_token: bool,
) -> None:
    """Run the endpoint: opt-in memory, task history, audit and usage.

    The first start makes the database, beside it the key that signs the audit log (`PATH.key`; back it up with the
    database), and prints the local administrator's token once. A later start brings an older database to this version.
    Stop it with SIGTERM: what was accepted is finished, for ten seconds at most.

    On PostgreSQL any number of processes serve one database. Its tables are made by `coven-action migrate`; the endpoint
    connects as a role that owns none of them, and every process is given the same --signing-key. An URL with a password
    belongs into the variable DATABASE_URL: others read a command line.

    The administrator's token works from this machine alone. On this machine's own address that is where the endpoint
    listens. Any other address needs --public-url with https, which is also the audience that runs ask their ID tokens for;
    beside it the endpoint listens on 127.0.0.1 at --admin-port, where the token holds. Let no proxy lead there.

    Every option can come from the environment: COVEN_DATA or DATABASE_URL, COVEN_HOST, COVEN_PORT, COVEN_ADMIN_PORT,
    COVEN_PUBLIC_URL, COVEN_ISSUERS, COVEN_SIGNING_KEY; or, with the caps of the tiers, from a file: docs/settings.md
    lists them all.

    \b
    Examples:
      coven-action serve --data coven.db
      DATABASE_URL=postgresql://coven_app@db/coven coven-action serve --signing-key coven.key
      coven-action serve --data /var/lib/coven/coven.db --host 0.0.0.0 --public-url https://coven.example.com
      coven-action serve --config /etc/coven/coven.toml

    Exit codes: 0 stopped as asked, 1 it could not start, 2 wrong usage.
    """  # noqa: D301 - the backslash is click's mark for lines that stay as they are
    if config is None and data is None and database_url is None and not os.environ.keys() & {"COVEN_DATA", VARIABLE}:
        raise click.UsageError(f"Say where the database lies: --data PATH, or {VARIABLE} for PostgreSQL.")
    # Only who serves pays for the server.
    from coven_action.hosted.logs import set_up_logging  # noqa: PLC0415
    from coven_action.hosted.server import serve  # noqa: PLC0415
    from coven_action.hosted.settings import Settings  # noqa: PLC0415
    from coven_action.hosted.settings_file import read_settings_file  # noqa: PLC0415

    given = {
        "host": host,
        "port": port,
        "data": data,
        "database_url": database_url,
        "signing_key": signing_key,
        "admin_port": admin_port,
        "public_url": public_url,
        "issuers": issuers or None,
    }
    written = read_settings_file(config) if config is not None else None
    settings = Settings.from_environment(os.environ, written, **given)
    set_up_logging(sys.stderr, build_redactor(os.environ))
    serve(settings, announce=_announce, new_admin_token=new_admin_token)


def _announce(started: "Started") -> None:
    click.echo(f"The endpoint listens on {started.address}")
    if started.public_url != started.address:
        click.echo(f"Runs reach it as {started.public_url}")
    if started.admin_url != started.public_url:
        click.echo(f"The administrator reaches it as {started.admin_url}, from this machine alone")
    if started.admin_token is not None:
        click.echo(f"The local administrator's token, which is not shown again: {started.admin_token}")
