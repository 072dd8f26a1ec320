"""`coven-action enrol`: let an account and its repositories report to an endpoint."""

from typing import Any, Final

import click

from coven_action.cli.database_option import database_option

GITHUB_ISSUER: Final = "https://token.actions.githubusercontent.com"


@click.command(name="enrol")
@database_option()
@click.option("--account", required=True, metavar="LOGIN", help="The account's login, a label for people.")
@click.option("--account-id", required=True, type=click.IntRange(1), help="The account's numeric id; this decides.")
@click.option("--issuer", default=GITHUB_ISSUER, show_default=True, help="Who signs its runs' ID tokens.")
@click.option("--installation-id", type=click.IntRange(1), help="Of the App that the account has installed, if any.")
@click.option("--tier", default="open", show_default=True, help="Its caps: open, starter, team or dedicated.")
@click.option("--repository", metavar="OWNER/NAME", help="A repository to enrol as well, a label for people.")
@click.option("--repository-id", type=click.IntRange(1), help="The repository's numeric id; this decides.")
@click.option(
    "--visibility",
    type=click.Choice(["public", "private", "internal"]),
    default="private",
    show_default=True,
    help="Of the repository. Public ones read only entries that are marked shareable.",
)
@click.option("--default-branch", default="main", show_default=True, help="Of the repository.")
@click.option(
    "--person",
    "people",
    multiple=True,
    type=click.IntRange(1),
    help="An account id whose own dispatches count as a person's.",
)
@click.option(
    "--workflow", "workflows", multiple=True, help="Admit this workflow only: .github/workflows/coven.yml@REF"
)
@click.option("--memory/--no-memory", default=None, help="Turn memory on or off for the account.")
def command(**given: Any) -> None:
    """Enrol an account, and one of its repositories, in the endpoint's database.

    Ids decide and names are labels: `gh api repos/OWNER/NAME --jq '.id, .owner.id'` prints both ids. To enrol again is to
    change what was recorded.

    \b
    Example:
      coven-action enrol --data coven.db --account acme --account-id 501 \\
        --repository acme/billing --repository-id 1001 --memory

    Exit codes: 0 enrolled, 1 it could not be, 2 wrong usage.
    """  # noqa: D301 - the backslash is click's mark for lines that stay as they are
    if bool(given["repository"]) != bool(given["repository_id"]):
        raise click.UsageError("A repository takes both: --repository OWNER/NAME --repository-id ID.")
    if given["repository"] and given["repository"].count("/") != 1:
        raise click.UsageError("--repository takes OWNER/NAME.")
    # Only who enrols pays for the database.
    from coven_action.core.endpoint.caps import TIERS  # noqa: PLC0415
    from coven_action.hosted.operating import open_database  # noqa: PLC0415
    from coven_action.hosted.services.enrolment import TenantEnrolment, enrol_tenant  # noqa: PLC0415

    if given["tier"] not in TIERS:
        raise click.UsageError(f"--tier takes one of {', '.join(TIERS)}.")
    tenant = TenantEnrolment(
        issuer=given["issuer"],
        account_id=given["account_id"],
        account_login=given["account"],
        installation_id=given["installation_id"],
        tier=given["tier"],
    )
    with open_database(given["data"], create=True) as database:
        enrolled = database.write(0, lambda transaction: enrol_tenant(transaction, tenant))
        click.echo(f"{given['account']} is account {enrolled.tenant_id} of this endpoint, tier {given['tier']}")
        if given["repository"]:
            _enrol_repository(database, enrolled.tenant_id, given)
        if given["memory"] is not None:
            _switch_memory(database, enrolled.tenant_id, on=given["memory"])


def _enrol_repository(database: Any, tenant_id: int, given: dict[str, Any]) -> None:
    from coven_action.hosted.services.enrolment import (  # noqa: PLC0415
        EnrolmentRules,
        RepositoryEnrolment,
        enrol_repository,
    )

    owner, _, name = given["repository"].partition("/")
    enrolment = RepositoryEnrolment(
        repository_id=given["repository_id"],
        owner=owner,
        name=name,
        visibility=given["visibility"],
        default_branch=given["default_branch"],
        people=given["people"],
        rules=EnrolmentRules(workflows=given["workflows"] or None),
    )
    database.write(tenant_id, lambda transaction: enrol_repository(transaction, "operator", enrolment))
    click.echo(f"{given['repository']} may report")


def _switch_memory(database: Any, tenant_id: int, *, on: bool) -> None:
    from coven_action.core.oidc.authority import Role  # noqa: PLC0415
    from coven_action.hosted.principals import PersonPrincipal  # noqa: PLC0415
    from coven_action.hosted.services.memory_policy import put_policy, read_versioned  # noqa: PLC0415

    operator = PersonPrincipal(tenant_id, Role.ADMIN, "operator")

    def switch(transaction: Any) -> None:
        known = read_versioned(transaction)
        policy = known.policy.model_copy(update={"enabled": on})
        put_policy(transaction, operator, policy, f'"{known.version}"')

    database.write(tenant_id, switch)
    click.echo(f"memory is {'on' if on else 'off'}")
