"""`coven-action enrol`: let an account and its repositories report to an endpoint."""

from typing import Any, Final

import click

from coven_action.cli.database_option import database_option

GITHUB_ISSUER: Final = "https://token.actions.githubusercontent.com"
_ACTOR: Final = "operator"
_TAKEN_AS_GIVEN: Final = ("visibility", "default_branch", "tenant_shared")
_OF_REPOSITORY: Final = ("visibility", "default_branch", "people", "no_people", "workflows", "any_workflow")


@click.command(name="enrol")
@database_option()
@click.option("--account", required=True, metavar="LOGIN", help="The account's login, a label for people.")
@click.option("--account-id", required=True, type=click.IntRange(1), help="The account's numeric id; this decides.")
@click.option("--issuer", default=GITHUB_ISSUER, show_default=True, help="Who signs its runs' ID tokens.")
@click.option(
    "--installation-id",
    type=click.IntRange(0),
    help="Of the App that the account has installed; 0: there is none any more.",
)
@click.option("--tier", help="Its caps: open, starter, team or dedicated.  [a new account's: open]")
@click.option("--repository", metavar="OWNER/NAME", help="A repository to enrol as well, a label for people.")
@click.option("--repository-id", type=click.IntRange(1), help="The repository's numeric id; this decides.")
@click.option(
    "--visibility",
    type=click.Choice(["public", "private", "internal"]),
    help="Of the repository. Public ones read only entries that are marked shareable.  [a new one's: private]",
)
@click.option("--default-branch", help="Of the repository.  [a new one's: main]")
@click.option(
    "--tenant-shared/--no-tenant-shared", default=None, help="Whether the repository may read what the account shares."
)
@click.option(
    "--person",
    "people",
    multiple=True,
    type=click.IntRange(1),
    help="An account id whose own dispatches count as a person's. Those that are named replace those that were.",
)
@click.option("--no-people", is_flag=True, help="Nobody's dispatches count as a person's any more.")
@click.option(
    "--workflow", "workflows", multiple=True, help="Admit this workflow only: .github/workflows/coven.yml@REF"
)
@click.option("--any-workflow", is_flag=True, help="Admit every workflow of the repository again.")
@click.option("--memory/--no-memory", default=None, help="Turn memory on or off for the account.")
def command(**given: Any) -> None:
    """Enrol an account, and one of its repositories, in the endpoint's database.

    Ids decide and names are labels: `gh api repos/OWNER/NAME --jq '.id, .owner.id'` prints both ids. To enrol again changes
    what the options say and leaves the rest as it was; the account's audit log says what.

    \b
    Examples:
      coven-action enrol --data coven.db --account acme --account-id 501 \\
        --repository acme/billing --repository-id 1001 --memory
      coven-action enrol --data coven.db --account acme --account-id 501 --tier team

    Exit codes: 0 enrolled, 1 it could not be, 2 wrong usage.
    """  # noqa: D301 - the backslash is click's mark for lines that stay as they are
    _check(given)
    # Only who enrols pays for the database.
    from coven_action.core.endpoint.caps import TIERS  # noqa: PLC0415
    from coven_action.hosted.operating import open_database  # noqa: PLC0415
    from coven_action.hosted.services.enrolment import TenantEnrolment, enrol_account  # noqa: PLC0415
    from coven_action.hosted.store.tenancy import DIRECTORY  # noqa: PLC0415

    if given["tier"] not in {None, *TIERS}:
        raise click.UsageError(f"--tier takes one of {', '.join(TIERS)}.")
    said: dict[str, Any] = {
        "issuer": given["issuer"],
        "account_id": given["account_id"],
        "account_login": given["account"],
        "tier": given["tier"],
    }
    if given["installation_id"] is not None:
        said["installation_id"] = given["installation_id"] or None
    tenant = TenantEnrolment(**said)
    with open_database(given["data"], create=True) as database:
        enrolled = database.write_group((DIRECTORY,), lambda group: enrol_account(group, _ACTOR, tenant))
        click.echo(f"{given['account']} is account {enrolled.tenant_id} of this endpoint, tier {enrolled.tier}")
        if given["repository"]:
            _enrol_repository(database, enrolled.tenant_id, given)
        if given["memory"] is not None:
            _switch_memory(database, enrolled.tenant_id, on=given["memory"])


def _check(given: dict[str, Any]) -> None:
    """Refuse options that say nothing, or two things."""
    if bool(given["repository"]) != bool(given["repository_id"]):
        raise click.UsageError("A repository takes both: --repository OWNER/NAME --repository-id ID.")
    if given["repository"] and given["repository"].count("/") != 1:
        raise click.UsageError("--repository takes OWNER/NAME.")
    of_repository = any(given[name] for name in _OF_REPOSITORY) or given["tenant_shared"] is not None
    if of_repository and not given["repository"]:
        raise click.UsageError("What is said of a repository takes --repository OWNER/NAME --repository-id ID.")
    for name, opposite in (("people", "no_people"), ("workflows", "any_workflow")):
        if given[name] and given[opposite]:
            raise click.UsageError(f"--{opposite.replace('_', '-')} and what it takes back are both given.")


def _enrol_repository(database: Any, tenant_id: int, given: dict[str, Any]) -> None:
    from coven_action.hosted.services.enrolment import (  # noqa: PLC0415
        EnrolmentRules,
        RepositoryEnrolment,
        enrol_repository,
    )

    owner, _, name = given["repository"].partition("/")
    # What no option says is left out, so that it stays as it was.
    said = {name: given[name] for name in _TAKEN_AS_GIVEN if given[name] is not None}
    if given["people"] or given["no_people"]:
        said["people"] = given["people"]
    if given["workflows"] or given["any_workflow"]:
        said["rules"] = EnrolmentRules(workflows=given["workflows"] or None)
    enrolment = RepositoryEnrolment(repository_id=given["repository_id"], owner=owner, name=name, **said)
    database.write(tenant_id, lambda transaction: enrol_repository(transaction, _ACTOR, enrolment))
    click.echo(f"{given['repository']} may report")


def _switch_memory(database: Any, tenant_id: int, *, on: bool) -> None:
    from coven_action.core.oidc.authority import Role  # noqa: PLC0415
    from coven_action.hosted.principals import PersonPrincipal  # noqa: PLC0415
    from coven_action.hosted.services.memory_policy import put_policy, read_versioned  # noqa: PLC0415

    operator = PersonPrincipal(tenant_id, Role.ADMIN, _ACTOR)

    def switch(transaction: Any) -> None:
        known = read_versioned(transaction)
        policy = known.policy.model_copy(update={"enabled": on})
        put_policy(transaction, operator, policy, f'"{known.version}"')

    database.write(tenant_id, switch)
    click.echo(f"memory is {'on' if on else 'off'}")
