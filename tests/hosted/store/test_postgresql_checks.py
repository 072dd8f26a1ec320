"""Who may connect, and to what: each refusal says in one line what is wrong, and in one what to do."""

import logging
import re
import threading

import psycopg
import pytest
from click.testing import CliRunner
from sqlalchemy import URL, text

from coven_action.cli.main import cli
from coven_action.cli.migrate import command as migrate
from coven_action.errors import Error
from coven_action.hosted.signing import load_signing_key
from coven_action.hosted.store import postgresql_checks
from coven_action.hosted.store.migrations import HEAD
from coven_action.hosted.store.postgresql_checks import check_database, connect, parse_database_url
from coven_action.hosted.store.postgresql_migration import migrate_database
from tests.hosted import postgresql
from tests.hosted.postgresql import APP, OWNER, get_server
from tests.identity_tokens import NOW

PASSWORD = "hunter2-and-more"


# --- the address


@pytest.mark.parametrize(
    "url",
    ["", "coven", "sqlite:///coven.db", "mysql://a@b/c", "postgresql+asyncpg://a@b/c", "postgresql://a@b", "postgresql:",
     f"postgres//app:{PASSWORD}@db/coven", f"postgresql://app:{PASSWORD}@db:port/coven"],
)  # fmt: skip
def test_what_is_no_address_of_a_database_is_refused_and_not_repeated(url):
    with pytest.raises(Error) as refused:
        parse_database_url(url)

    assert refused.value.code == "database-url-invalid"
    assert PASSWORD not in refused.value.diagnostics()


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_every_way_to_name_postgresql_means_the_same(scheme):
    found = parse_database_url(f"{scheme}://app:p%40ss@db.example:6432/coven?sslmode=verify-full")

    assert found.drivername == "postgresql+psycopg"
    assert (found.username, found.password, found.host, found.port, found.database) == (
        "app", "p@ss", "db.example", 6432, "coven",
    )  # fmt: skip
    assert found.query == {"sslmode": "verify-full"}


# --- the server, the tables, the role

ALTERATIONS = {
    "a superuser": (f"ALTER ROLE {APP} SUPERUSER", f"ALTER ROLE {APP} NOSUPERUSER", "database-role-unsafe"),
    "a role that bypasses": (f"ALTER ROLE {APP} BYPASSRLS", f"ALTER ROLE {APP} NOBYPASSRLS", "database-role-unsafe"),
    "a member of a role that bypasses": (
        f"CREATE ROLE mighty BYPASSRLS; GRANT mighty TO {APP}", "DROP ROLE mighty", "database-role-unsafe",
    ),
    "a member of the owner": (f"GRANT {OWNER} TO {APP}", f"REVOKE {OWNER} FROM {APP}", "database-role-unsafe"),
    "an owner of one table": (f"ALTER TABLE uses OWNER TO {APP}", None, "database-role-unsafe"),
    "an owner of a month": (f"ALTER TABLE run_events_2026_11 OWNER TO {APP}", None, "database-role-unsafe"),
    "an owner of the schema": (f"ALTER SCHEMA public OWNER TO {APP}", None, "database-role-unsafe"),
    "a role that replicates": (f"ALTER ROLE {APP} REPLICATION", f"ALTER ROLE {APP} NOREPLICATION", "database-role-unsafe"),
    "a role that makes roles": (f"ALTER ROLE {APP} CREATEROLE", f"ALTER ROLE {APP} NOCREATEROLE", "database-role-unsafe"),
    "a role of several attributes": (
        f"ALTER ROLE {APP} REPLICATION CREATEROLE", f"ALTER ROLE {APP} NOREPLICATION NOCREATEROLE", "database-role-unsafe",
    ),
    "a member of a member of a role that makes roles": (
        f'CREATE ROLE makers CREATEROLE; CREATE ROLE "Between" ROLE {APP}; GRANT makers TO "Between"',
        'DROP ROLE makers; DROP ROLE "Between"', "database-role-unsafe",
    ),
    **{
        f"a member of {name}": (f"GRANT {name} TO {APP}", f"REVOKE {name} FROM {APP}", "database-role-unsafe")
        for name in (
            "pg_execute_server_program", "pg_read_server_files", "pg_write_server_files", "pg_read_all_data",
            "pg_write_all_data", "pg_signal_backend", "pg_maintain", "pg_create_subscription",
        )
    },
    **{
        f"a right to {right}": (f"GRANT {right} ON audit TO {APP}", None, "database-role-unsafe")
        for right in ("TRUNCATE", "TRIGGER", "REFERENCES")
    },
    "a right to empty that everybody has": ("GRANT TRUNCATE ON runs TO PUBLIC", None, "database-role-unsafe"),
    "a right to empty a month": (f"GRANT TRUNCATE ON run_events_2026_11 TO {APP}", None, "database-role-unsafe"),
    "no right to write": (f"REVOKE DELETE ON memory FROM {APP}", None, "database-rights-missing"),
    "no right to look at the version": (f"REVOKE ALL ON alembic_version FROM {APP}", None, "database-rights-missing"),
    "no right at all": (f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {APP}", None, "database-rights-missing"),
    "no way into the schema": (
        f"REVOKE USAGE ON SCHEMA public FROM PUBLIC, {APP}", None, "database-rights-missing",
    ),
    "an older version": ("UPDATE alembic_version SET version_num = '0000'", None, "database-not-migrated"),
    "a newer version": ("UPDATE alembic_version SET version_num = '9999'", None, "database-newer"),
    "no version": ("DELETE FROM alembic_version", None, "database-not-migrated"),
    "an open table": ("ALTER TABLE memory DISABLE ROW LEVEL SECURITY", None, "database-unprotected"),
    "a table that is open to its owner": ("ALTER TABLE memory NO FORCE ROW LEVEL SECURITY", None, "database-unprotected"),
    "a policy that is missing": ("DROP POLICY own ON memory", None, "database-unprotected"),
    "a policy too many": ("CREATE POLICY all_of_it ON memory USING (true)", None, "database-unprotected"),
    "a policy that means something else": ("ALTER POLICY own ON memory USING (true)", None, "database-unprotected"),
    "a policy that holds for some": (f"ALTER POLICY own ON memory TO {OWNER}", None, "database-unprotected"),
}  # fmt: skip


@pytest.fixture(scope="module")
def shared():
    """The address of a database for what alters roles alone, and restores them."""
    with postgresql.open_database() as name:
        yield get_server().render_url(name)


# Of what a role may own or do besides, the ordinary suite looks at one of each kind.
RARE = {
    "an owner of a month",
    "an owner of the schema",
    "a role that replicates",
    "a role of several attributes",
    "a member of a member of a role that makes roles",
    "a right to empty a month",
}


@pytest.mark.parametrize(
    ("alter", "restore", "code"),
    [pytest.param(*row, id=name, marks=pytest.mark.slow if name in RARE else ()) for name, row in ALTERATIONS.items()],
)
def test_what_could_mix_up_accounts_or_not_work_is_refused(request, alter, restore, code):
    url = request.getfixturevalue("shared" if restore else "url")
    check_database(url)
    server = get_server()
    server.execute(*alter.split("; "), database=url.database)
    try:
        with pytest.raises(Error) as refused:
            check_database(url)
        if code == "database-role-unsafe":
            follow(refused.value.remedy, url)
    finally:
        if restore is not None:
            server.execute(*restore.split("; "))

    assert refused.value.code == code
    assert "\n" not in refused.value.message


def follow(remedy, url):
    """Do what a refusal of a role says, after which the role is accepted."""
    (said,) = re.findall("`([^`]+)`", remedy)
    # An owner's rights go with the table; `migrate` gives them again.
    again = f"GRANT SELECT, INSERT, UPDATE, DELETE ON uses TO {APP}"
    get_server().execute(said, again, database=url.database)
    check_database(url)


def test_the_owner_of_the_database_is_refused(url):
    with pytest.raises(Error, match=f"It owns the database {url.database}") as refused:
        check_database(url.set(username=OWNER))

    assert refused.value.code == "database-role-unsafe"


ACCEPTED = {
    "as the documents make it": ("CREATE ROLE tried LOGIN NOSUPERUSER NOBYPASSRLS", "SELECT 1"),
    "as the deployment's script makes it": (
        "CREATE ROLE tried LOGIN", "REVOKE ALL ON DATABASE {} FROM PUBLIC", "GRANT CONNECT ON DATABASE {} TO tried",
    ),
    "that may make databases": ("CREATE ROLE tried LOGIN CREATEDB", "SELECT 1"),
    "that may look at statistics": ("CREATE ROLE tried LOGIN IN ROLE pg_monitor", "SELECT 1"),
}  # fmt: skip


@pytest.mark.parametrize("statements", ACCEPTED.values(), ids=ACCEPTED)
def test_a_role_is_accepted(empty, statements):
    server = get_server()
    server.execute(*(each.format(empty.database) for each in statements))
    try:
        migrate_database(empty, "tried", NOW)
        check_database(empty.set(username="tried"))
    finally:
        server.execute("DROP OWNED BY tried", database=empty.database)
        server.execute("DROP ROLE tried")


def test_an_empty_database_wants_migrating(url):
    server = get_server()
    empty = server.create()
    with pytest.raises(Error) as refused:
        check_database(url.set(database=empty))
    server.drop(empty)

    assert refused.value.code == "database-not-migrated"
    assert "coven-action migrate" in refused.value.remedy


def test_another_programs_database_is_refused(url):
    server = get_server()
    other = server.create()
    server.execute("CREATE TABLE bookmarks (id integer)", database=other)
    with pytest.raises(Error) as refused:
        check_database(url.set(database=other))
    server.drop(other)

    assert refused.value.code == "database-unusable"


UNREACHABLE = {
    "nobody listens": {"host": "127.0.0.1", "port": 1},
    "no such database": {"database": "nowhere"},
    "no such role": {"username": "nobody_at_all"},
    "no such host": {"host": "no.such.host.invalid"},
}


@pytest.mark.parametrize("changes", UNREACHABLE.values(), ids=UNREACHABLE)
def test_a_server_that_does_not_let_us_in_is_told_in_one_line_without_the_password(url, changes):
    changed = url.set(**changes, password=PASSWORD)
    if "host" in changes:
        changed = changed.set(query={})
    with pytest.raises(Error) as refused:
        check_database(changed)

    assert refused.value.code == "database-unreachable"
    assert "\n" not in refused.value.message
    assert PASSWORD not in refused.value.diagnostics()


@pytest.mark.parametrize(("floor", "refused"), [(18, False), (19, True)])
def test_a_server_that_is_too_old_is_refused(url, monkeypatch, floor, refused):
    monkeypatch.setattr(postgresql_checks, "FLOOR", floor)
    if not refused:
        check_database(url)
        return
    with pytest.raises(Error, match="PostgreSQL 18; 19 or newer") as raised:
        check_database(url)
    assert raised.value.code == "database-too-old"


# --- migrating


@pytest.fixture
def empty():
    """A database without tables; its address as its owner."""
    server = get_server()
    name = server.create()
    yield server.render_url(name, OWNER)
    server.drop(name)


def as_app(url):
    return url.set(username=APP)


def test_to_migrate_makes_what_the_endpoint_may_work_with_and_to_migrate_twice_changes_nothing(empty):
    assert migrate_database(empty, APP, NOW) is None
    check_database(as_app(empty))
    before = describe(empty)

    assert migrate_database(empty, APP, NOW) == HEAD
    assert describe(empty) == before
    check_database(as_app(empty))


def describe(url):
    """Return tables, columns, rights and policies."""
    return get_server().execute(
        "SELECT relname, relacl::text, relrowsecurity, relforcerowsecurity, (SELECT array_agg(polname || "
        "pg_get_expr(polqual, polrelid) ORDER BY polname) FROM pg_policy WHERE polrelid = pg_class.oid), "
        "(SELECT array_agg(attname || atttypid::regtype::text ORDER BY attnum) FROM pg_attribute "
        "WHERE attrelid = pg_class.oid) FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY relname",
        database=url.database,
    )


def test_two_that_migrate_at_once_take_turns(empty):
    found = []
    threads = [threading.Thread(target=lambda: found.append(migrate_database(empty, APP, NOW))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(found, key=str) == [HEAD, HEAD, None]
    check_database(as_app(empty))


def test_a_right_that_was_added_by_hand_is_taken_back(empty):
    migrate_database(empty, APP, NOW)
    get_server().execute(f"GRANT ALL ON memory TO {APP}, PUBLIC", database=empty.database)

    migrate_database(empty, APP, NOW)

    with get_server().connect(empty.database, APP) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("TRUNCATE memory")


@pytest.mark.parametrize(
    ("role", "code"), [("nobody_at_all", "database-role-missing"), (OWNER, "database-role-unsafe")]
)
def test_a_role_that_is_not_there_or_owns_the_tables_is_refused_before_anything_is_made(empty, role, code):
    with pytest.raises(Error) as refused:
        migrate_database(empty, role, NOW)

    assert refused.value.code == code
    with connect(empty) as connection:
        assert connection.execute(text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")).scalar() == 0


def test_who_may_make_no_table_is_told(empty):
    with pytest.raises(Error) as refused:
        migrate_database(as_app(empty), "postgres", NOW)

    assert refused.value.code == "database-unusable"
    assert "permission denied" in refused.value.message


# --- as commands


def render(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.fixture
def commands(monkeypatch):
    """Run a command with DATABASE_URL and return the result."""

    def run(url, *argv):
        monkeypatch.setenv("DATABASE_URL", render(url))
        return CliRunner().invoke(cli, argv)

    return run


def test_an_operator_migrates_enrols_and_asks_with_the_same_commands_as_on_a_file(commands, empty):
    made = commands(empty, "migrate", "--app-role", APP)
    assert made.output == f"The database was made with version {HEAD}.\n"
    enrolled = commands(
        as_app(empty), "enrol", "--account", "acme", "--account-id", "501", "--repository", "acme/billing",
        "--repository-id", "1001", "--memory",
    )  # fmt: skip
    assert enrolled.output.splitlines() == [
        "acme is account 1 of this endpoint, tier open", "acme/billing may report", "memory is on",
    ]  # fmt: skip
    assert commands(as_app(empty), "admin", "token").output.startswith("cva_")
    assert " acme " in commands(as_app(empty), "admin", "accounts").output
    changed = commands(as_app(empty), "admin", "caps", "--account", "acme", "--set", "familiars=7")
    assert "familiars                7" in changed.output


def test_what_an_operator_runs_from_time_to_time_runs_on_a_server_too(commands, empty, tmp_path):
    migrate_database(empty, APP, NOW)
    url, key = as_app(empty), tmp_path / "signing.key"
    load_signing_key(key)
    commands(url, "enrol", "--account", "acme", "--account-id", "501")

    done = [
        commands(url, "admin", *each)
        for each in (
            ("usage",),
            ("sweep",),
            ("suspend", "--account", "acme", "--reason", "asked"),
            ("release", "--account", "acme", "--reason", "asked"),
            ("rotate-key", "--signing-key", str(key)),
            ("signing-key", "--key", str(key)),
            ("reseal",),
        )
    ]

    assert [each.exit_code for each in done] == [0] * len(done), [each.output for each in done]
    maintained = commands(empty, "admin", "partitions")
    assert [line.partition(":")[0] for line in maintained.output.splitlines()] == ["made", "dropped"]
    assert commands(url, "admin", "partitions").exception.code == "database-rights-missing"


def test_an_export_goes_from_a_file_to_a_server_and_back(commands, empty, tmp_path, monkeypatch):
    migrate_database(empty, APP, NOW)
    data, key = tmp_path / "coven.db", tmp_path / "signing.key"
    monkeypatch.setenv("COVEN_SIGNING_KEY", str(key))
    run = CliRunner()
    run.invoke(cli, ["enrol", "--data", str(data), "--account", "acme", "--account-id", "501", "--repository",
        "acme/billing", "--repository-id", "1001", "--memory"])  # fmt: skip
    first = tmp_path / "first.jsonl"
    first.write_text(run.invoke(cli, ["audit", "export", "--data", str(data), "--account", "acme"]).output)

    assert commands(as_app(empty), "audit", "import", str(first)).output.startswith("imported as account 1:")
    second = tmp_path / "second.jsonl"
    second.write_text(commands(as_app(empty), "audit", "export", "--account", "acme").output)

    digests = [run.invoke(cli, ["audit", "verify", str(each)]).output.splitlines()[1:] for each in (first, second)]
    assert digests[0] == digests[1]
    assert len(digests[0]) > 10


@pytest.fixture
def usual_logging():
    """Logging as it was before: `serve` sets up its own."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("usual_logging")
@pytest.mark.parametrize("command", ["serve", "enrol", "migrate"])
def test_a_command_that_is_refused_ends_with_two_lines_and_no_trace(monkeypatch, capsys, command):
    from coven_action.cli.main import main

    monkeypatch.setenv("DATABASE_URL", f"postgresql://app:{PASSWORD}@127.0.0.1:1/coven")
    monkeypatch.setenv("COVEN_SIGNING_KEY", "/nowhere/key")
    given = ["--account", "acme", "--account-id", "1"] if command == "enrol" else []

    monkeypatch.setattr("sys.argv", ["coven-action", command, *given])
    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("error[database-unreachable]: The database at 127.0.0.1:1/coven cannot be reached")
    assert len(said) == 2
    assert PASSWORD not in "".join(said)


def test_a_command_line_that_names_a_file_means_the_file(monkeypatch, tmp_path):
    monkeypatch.setenv("DATABASE_URL", "postgresql://app@127.0.0.1:1/coven")

    made = CliRunner().invoke(migrate, ["--data", str(tmp_path / "coven.db")])

    assert made.output.startswith(f"{tmp_path}/coven.db was made with version")


def test_the_template_of_the_other_tests_is_what_migrating_makes(empty):
    migrate_database(empty, APP, NOW)

    assert describe(empty) == describe(get_server().render_url(postgresql.TEMPLATE))
