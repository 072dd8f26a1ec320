"""The months of events: made ahead, moved into, dropped when empty, and told as trouble when there is none."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from coven_action.errors import Error
from coven_action.hosted.store import partitions, postgresql_migration
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
def test_what_the_sweep_took_from_the_default_table_is_no_trouble_after_maintenance(deployment, tenant, url, clock):
    """Its events are past their time before anybody has made a table for them: it is empty, and its file is not."""
    endpoint = deployment.build_app().state.endpoint
    clock.moment = NOW + timedelta(days=150)
    deployment.write(tenant, append)
    get_server().execute("DELETE FROM run_events", database=url.database)
    assert count_troubles(deployment, endpoint) == 2

    maintain_partitions(as_owner(url), clock())

    assert count_troubles(deployment, endpoint) == 0


def count_troubles(deployment, endpoint):
    deployment.runner.run(check_store(endpoint))
    return endpoint.metrics.store_troubles.collect()[0].samples[0].value


@on_postgresql
def test_who_has_begun_to_read_before_a_maintenance_still_finds_what_it_moves(deployment, tenant, url, clock):
    """An export is as of one moment, and comes to the events last."""
    clock.moment = NOW + timedelta(days=150)
    deployment.write(tenant, append)
    with get_server().connect(str(url.database)) as connection:
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        connection.execute("SELECT count(*) FROM tenants")

        assert maintain_partitions(as_owner(url), clock()).moved == 1

        assert connection.execute("SELECT count(*) FROM run_events").fetchone() == (1,)


@pytest.fixture
def hurried(monkeypatch):
    """Maintenance that waits for its locks only a little; what is put into the list is called in its pauses, in turn."""
    pauses, taken = [], []

    def pause(seconds):
        taken.append(seconds)
        if pauses:
            pauses.pop(0)()

    monkeypatch.setattr(partitions, "LOCK_SECONDS", 0.05)
    monkeypatch.setattr(postgresql_migration.time, "sleep", pause)
    return pauses, taken


@on_postgresql
@pytest.mark.parametrize("read", ["SELECT count(*) FROM run_events", f"SELECT count(*) FROM {AHEAD[0]}"])
def test_while_one_reads_events_for_long_others_read_too_and_maintenance_comes_after(
    deployment, tenant, other_tenant, url, hurried, read
):
    pauses, taken = hurried
    others = []
    with get_server().connect(str(url.database)) as reader:
        reader.execute("BEGIN")
        reader.execute(read)
        pauses += [
            lambda: others.append(read_sequences(deployment, other_tenant)),
            # It comes to the other tables only now.
            lambda: reader.execute("SELECT count(*) FROM run_events"),
            lambda: reader.execute("COMMIT"),
        ]

        done = maintain_partitions(as_owner(url), NOW + timedelta(days=31))

    assert (done.made, done.dropped) == (("run_events_2027_03",), (AHEAD[0],))
    assert others == [[]]
    assert taken == [postgresql_migration.PAUSE_SECONDS] * 3


@on_postgresql
def test_maintenance_that_never_gets_its_turn_says_so_and_changes_nothing(deployment, tenant, url, hurried):
    before = list_months(url)
    with get_server().connect(str(url.database)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM run_events")

        with pytest.raises(Error, match="lock timeout") as refused:
            maintain_partitions(as_owner(url), NOW + timedelta(days=31))

        assert refused.value.code == "database-busy"
        assert read_sequences(deployment, tenant) == []
    assert list_months(url) == before
    assert len(hurried[1]) == postgresql_migration.TRIES - 1


def test_maintenance_that_has_nothing_to_do_waits_for_nobody(url, hurried):
    with get_server().connect(str(url.database)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM run_events")

        assert maintain_partitions(as_owner(url), NOW) == Maintained((), (), 0)
    assert hurried[1] == []


REFUSALS = {
    "a disk that is full": ("53100", "database-maintenance-failed"),
    "a server that is told to stop": ("57P01", "database-unreachable"),
    "a role that may not": ("42501", "database-rights-missing"),
}


@pytest.mark.parametrize(("state", "code"), REFUSALS.values(), ids=REFUSALS)
def test_what_the_server_refuses_is_told_for_what_it_is(url, state, code):
    """A trigger of the server's refuses every new table in the same words; what they mean is the state's to say."""
    get_server().execute(
        f"CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no' USING ERRCODE = '{state}'; "
        "END $$",
        "CREATE EVENT TRIGGER refusing ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION refuse()",
        database=url.database,
    )

    with pytest.raises(Error) as refused:
        maintain_partitions(as_owner(url), NOW + timedelta(days=31))

    assert refused.value.code == code
    assert "\n" not in refused.value.message


def test_rights_that_new_tables_have_by_default_are_taken_from_a_new_month(url):
    get_server().execute(
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} GRANT ALL ON TABLES TO coven_app, PUBLIC", database=url.database
    )

    maintain_partitions(as_owner(url), NOW + timedelta(days=31))

    (rights,) = get_server().execute(
        "SELECT has_table_privilege('coven_app', 'run_events_2027_03', 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')",
        database=url.database,
    )
    assert rights == (False,)
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
