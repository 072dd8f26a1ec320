"""The caps of the tiers, as a deployment is configured."""

from coven_action.core.endpoint.caps import TIERS
from coven_action.hosted.services.policies import read_caps, read_tiers, record_tiers, set_caps
from coven_action.hosted.settings import Settings
from tests.hosted.databases import ON_BOTH
from tests.hosted.deployment import make_run

pytestmark = ON_BOTH


def configure(deployment, **tiers):
    settings = Settings.model_validate({"tiers": tiers})
    deployment.write(0, lambda transaction: record_tiers(transaction, settings.tiers.build()))


def test_a_deployment_s_tiers_take_the_place_of_the_built_in_ones(deployment, tenant):
    assert deployment.read(tenant, read_tiers) == TIERS

    configure(deployment, open={"requests_per_minute": 120, "tasks_per_day": "unlimited"})

    found = deployment.read(tenant, read_tiers)
    assert (found["open"].requests_per_minute, found["open"].tasks_per_day) == (120, None)
    assert found["team"] == TIERS["team"]
    assert deployment.read(tenant, read_caps) == found["open"]
    # What was configured before and is not any more holds no more.
    configure(deployment)
    assert deployment.read(tenant, read_tiers) == TIERS


def test_what_is_replaced_for_one_account_stays_replaced(deployment, tenant, other_tenant):
    deployment.write(tenant, lambda transaction: set_caps(transaction, "operator", None, {"familiars": 2}))

    configure(deployment, open={"familiars": 9})

    assert [deployment.read(number, read_caps).familiars for number in (tenant, other_tenant)] == [2, 9]


def test_people_are_warned_from_the_share_that_is_configured(deployment, tenant):
    configure(deployment, open={"tasks_per_day": 10, "soft_percent": 20, "concurrent_runs": 100})

    warnings = [deployment.report(make_run(tenant, run_id=number)).warnings for number in (1, 2, 3)]

    assert warnings == [(), (), ("3 of 10 tasks of today are used",)]
