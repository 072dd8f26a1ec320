"""The months of events: made ahead, moved into, dropped when empty, and told as trouble when there is none."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from coven_action.errors import Error
from coven_action.hosted.store.partitions import DEFAULT, Maintained, Month, maintain
from coven_action.hosted.store.postgresql_checks import check_database
from coven_action.hosted.store.postgresql_migration import maintain_partitions
from coven_action.hosted.sweeper import check_store
from tests.hosted.databases import POSTGRESQL
from tests.hosted.postgresql import OWNER, get_server
from tests.hosted.store.working import append, read_sequences
from tests.identity_tokens import NOW

AHEAD = ["run_events_2026_11", "run_events_2026_12", "run_events_2027_01", "run_events_2027_02"]
on_postgresql = pytest.mark.parametrize("database", [POSTGRESQL], indirect=True)


def as_owner(url):
    return url.set(username=OWNER)


def list_months(url):
    found = get_server().execute(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'run_events'::regclass ORDER BY 1",
        database=url.database,
    )
    return [name for (name,) in found]


def count_events(url, table):
    return get_server().execute(f"SELECT count(*) FROM {table}", database=url.database)[0][0]


@pytest.mark.parametrize(
    ("start", "months", "there"),
    [((2026, 11), 0, (2026, 11)), ((2026, 11), 2, (2027, 1)), ((2026, 1), -1, (2025, 12)), ((2026, 12), 25, (2029, 1))],
)
def test_months_are_counted_across_years(start, months, there):
    assert Month(*start).move(months) == Month(*there)


def test_a_month_ends_where_the_next_one_begins():
    month = Month(2026, 12)
    assert datetime.fromtimestamp(month.begin / 1000, UTC) == datetime(2026, 12, 1, tzinfo=UTC)
    assert month.end == Month(2027, 1).begin
    assert Month.of(datetime.fromtimestamp(month.end / 1000 - 0.001, UTC)) == month


def test_a_moment_is_of_the_month_it_has_in_utc():
    ahead = datetime.fromisoformat("2027-01-01T01:00:00+02:00")
    assert Month.of(ahead) == Month(2026, 12)


def test_migrating_makes_the_next_months(url):
    assert list_months(url) == [*AHEAD, DEFAULT]


def test_a_month_later_one_more_is_made_and_the_empty_one_dropped(url):
    later = NOW + timedelta(days=31)

    assert maintain_partitions(as_owner(url), later) == Maintained(("run_events_2027_03",), (AHEAD[0],), 0)
    assert list_months(url) == [*AHEAD[1:], "run_events_2027_03", DEFAULT]
    assert maintain_partitions(as_owner(url), later) == Maintained((), (), 0)
    check_database(url)


@on_postgresql
def test_a_month_that_holds_an_event_of_anybody_stays(deployment, tenant, url):
    deployment.write(tenant, append)

    assert maintain_partitions(as_owner(url), NOW + timedelta(days=120)).dropped == tuple(AHEAD[1:])
    assert read_sequences(deployment, tenant) == [1]
    assert count_events(url, AHEAD[0]) == 1


@on_postgresql
def test_what_no_month_holds_is_kept_told_and_moved(deployment, tenant, url, clock, caplog):
    endpoint = deployment.build_app().state.endpoint
    deployment.write(tenant, append)
    deployment.runner.run(check_store(endpoint))
    assert (caplog.records, endpoint.metrics.store_troubles.collect()[0].samples[0].value) == ([], 0)
    clock.moment = NOW + timedelta(days=150)
    deployment.write(tenant, append)
    assert (count_events(url, DEFAULT), read_sequences(deployment, tenant)) == (1, [1, 2])

    deployment.runner.run(check_store(endpoint))

    said = [record.getMessage() for record in caplog.records]
    assert [each.partition(":")[0] for each in said] == [
        "Events lie in run_events_default",
        "There is no run_events_2027_05 for the events of the next month. Run `coven-action admin partitions` as the owner.",
    ]
    assert endpoint.metrics.store_troubles.collect()[0].samples[0].value == 2
    assert maintain_partitions(as_owner(url), clock()).moved == 1
    assert (count_events(url, DEFAULT), count_events(url, "run_events_2027_04")) == (0, 1)
    assert read_sequences(deployment, tenant) == [1, 2]
    deployment.runner.run(check_store(endpoint))
    assert endpoint.metrics.store_troubles.collect()[0].samples[0].value == 0
    check_database(url)


@on_postgresql
def test_a_month_by_itself_shows_nobody_anything(deployment, tenant, url):
    deployment.write(tenant, append)

    with get_server().connect(str(url.database)) as connection:
        connection.execute(f"GRANT SELECT ON {AHEAD[0]} TO coven_app")
    with get_server().connect(str(url.database), "coven_app") as connection:
        connection.execute("SELECT set_config('coven.tenant', %s, false)", [str(tenant)])
        assert connection.execute("SELECT count(*) FROM run_events").fetchone() == (1,)
        assert connection.execute(f"SELECT count(*) FROM {AHEAD[0]}").fetchone() == (0,)


def test_a_maintenance_that_fails_leaves_everything_as_it_was(url):
    before = list_months(url)
    engine = create_engine(as_owner(url), poolclass=NullPool)
    with engine.connect() as connection, connection.begin() as begun:
        assert maintain(connection, NOW + timedelta(days=400)).made
        begun.rollback()
    assert list_months(url) == before


def test_the_endpoints_role_may_not_maintain(url):
    with pytest.raises(Error, match=r"must be owner|permission denied") as refused:
        maintain_partitions(url, NOW + timedelta(days=31))
    assert refused.value.code == "database-rights-missing"
