"""Copies of a served database: whole, checked, and stated in the log once they were restored."""

import json
import shutil
import stat
import threading
from contextlib import closing

import pysqlite3
import pytest

from coven_action.core.endpoint.wire import AuditHead
from coven_action.errors import Error
from coven_action.hosted.backups import check_backup, restore_backup, write_backup
from coven_action.hosted.operating import open_database
from coven_action.hosted.restore_mark import get_mark
from coven_action.hosted.server import prepare_database
from coven_action.hosted.services.audit import read_head
from coven_action.hosted.services.memory_policy import put_policy, read_versioned
from coven_action.hosted.services.reseal import find_reseals
from coven_action.hosted.services.witness import witness_head
from coven_action.hosted.store.commands import Command
from coven_action.hosted.store.migrations import HEAD
from coven_action.hosted.store.sqlite import SQLiteStore
from tests.hosted.deployment import make_person, make_run


@pytest.fixture
def data(data):
    """The database as the migrations would have made it: with its version."""
    stamp(data, HEAD)
    return data


def stamp(path, version):
    with closing(pysqlite3.connect(str(path), isolation_level=None)) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.execute("INSERT INTO alembic_version VALUES (?)", (version,))


def note(deployment, tenant, text="something"):
    """Append one row to an account's audit log, and one event."""

    def work(transaction):
        transaction.append_event("note", {"text": text})
        return transaction.append_audit(actor="operator", action="note", subject="test", detail={"text": text})

    return deployment.write(tenant, work)


def turn_memory_on(deployment, tenant):
    def work(transaction):
        known = read_versioned(transaction)
        policy = known.policy.model_copy(update={"enabled": True})
        put_policy(transaction, make_person(tenant), policy, f'"{known.version}"')

    deployment.write(tenant, work)


@pytest.fixture
def copy(deployment, tenant, other_tenant, data, tmp_path, clock):
    """A copy of a served database with two accounts, after which each has gone on by two rows."""
    turn_memory_on(deployment, tenant)
    note(deployment, tenant)
    target = tmp_path / "copy.db"
    write_backup(data, target, clock)
    clock.advance(hours=1)
    for number in (tenant, other_tenant, tenant, other_tenant):
        note(deployment, number, "later")
    return target


def stop(deployment):
    deployment.runner.run(deployment.store.close())


def change(path, statement, *values):
    with closing(pysqlite3.connect(str(path), isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys=OFF")
        assert connection.execute(statement, values).rowcount > 0


def count_rows(path, table):
    with closing(pysqlite3.connect(str(path))) as connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


# --- making one


def test_a_copy_is_one_private_file_as_of_one_moment(copy, data):
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert sorted(path.name for path in copy.parent.glob("copy.db*")) == ["copy.db", "copy.db.json"]
    assert count_rows(data, "audit") == count_rows(copy, "audit") + 4
    checked = check_backup(copy)
    assert checked.has_manifest
    assert [account.tenant_id for account in checked.accounts] == [1, 2]


def test_a_copy_is_made_while_others_write(deployment, tenant, data, tmp_path, clock):
    """Whatever moment it catches, its logs and sequences fit one another."""
    ended = threading.Event()

    def copy_again_and_again():
        for number in range(5):
            write_backup(data, tmp_path / f"{number}.db", clock)
        ended.set()

    copying = threading.Thread(target=copy_again_and_again)
    copying.start()
    while not ended.is_set():
        note(deployment, tenant)
    copying.join()

    rows = [check_backup(tmp_path / f"{number}.db").accounts[0].audit_seq for number in range(5)]
    assert rows == sorted(rows)


@pytest.mark.parametrize("name", ["copy.db", "copy.db.json"])
def test_no_copy_takes_the_place_of_another_file(deployment, tenant, data, tmp_path, clock, name):
    (tmp_path / name).write_text("mine")

    with pytest.raises(Error) as raised:
        write_backup(data, tmp_path / "copy.db", clock)

    assert raised.value.code == "backup-exists"
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize(("source", "target"), [("missing.db", "copy.db"), ("coven.db", "no/such/folder/copy.db")])
def test_what_cannot_be_copied_leaves_nothing(deployment, tenant, tmp_path, clock, source, target):
    with pytest.raises(Error) as raised:
        write_backup(tmp_path / source, tmp_path / target, clock)

    assert raised.value.code == "database-unusable"
    assert not list(tmp_path.glob("copy*"))


@pytest.mark.parametrize("content", [b"x" * 9000, b"SQLite format 3\0" + b"x" * 9000])
def test_what_is_no_database_is_not_copied(tmp_path, clock, content):
    (tmp_path / "garbage.db").write_bytes(content)

    with pytest.raises(Error) as raised:
        write_backup(tmp_path / "garbage.db", tmp_path / "copy.db", clock)

    assert raised.value.code == "database-unusable"
    assert not list(tmp_path.glob("copy*"))


def test_a_database_without_tables_is_none_of_ours(tmp_path, clock):
    with closing(pysqlite3.connect(str(tmp_path / "empty.db"))):
        (tmp_path / "empty.db").touch()

    with pytest.raises(Error) as raised:
        write_backup(tmp_path / "empty.db", tmp_path / "copy.db", clock)

    assert raised.value.code == "database-unusable"


def test_a_description_that_is_none_is_refused(copy):
    copy.with_name("copy.db.json").write_text("{}")

    with pytest.raises(Error) as raised:
        check_backup(copy)

    assert raised.value.code == "backup-broken"


def test_a_damaged_database_makes_no_copy(deployment, tenant, data, tmp_path, clock):
    note(deployment, tenant)
    change(data, "UPDATE audit SET actor='nobody' WHERE sequence=1")

    with pytest.raises(Error) as raised:
        write_backup(data, tmp_path / "copy.db", clock)

    assert raised.value.code == "backup-broken"
    assert not list(tmp_path.glob("copy*"))


# --- checking one

DAMAGES = {
    "a row changed": "UPDATE audit SET detail='{}' WHERE tenant_id=1 AND sequence=1",
    "a row left out": "DELETE FROM audit WHERE tenant_id=1 AND sequence=2",
    "the newest row left out": "DELETE FROM audit WHERE (tenant_id, sequence) IN (SELECT tenant_id, audit_sequence FROM heads)",
    "a row of another account": "UPDATE audit SET tenant_id=2, sequence=99 WHERE tenant_id=1 AND sequence=1",
    "a head moved": "UPDATE heads SET audit_sequence=audit_sequence-1 WHERE tenant_id=1",
    "no heads": "DELETE FROM heads WHERE tenant_id=2",
    "an event left out": "DELETE FROM run_events WHERE tenant_id=1 AND sequence=1",
    "a reference broken": "DELETE FROM repositories WHERE tenant_id=1",
}


@pytest.mark.parametrize("statement", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("has_manifest", [True, False])
def test_a_copy_that_was_changed_is_refused_and_replaces_nothing(
    deployment, copy, data, clock, statement, has_manifest, tmp_path
):
    deployment.report(make_run(1))
    shutil.copy(copy, tmp_path / "kept")
    write_backup(data, tmp_path / "reported.db", clock)
    damaged = tmp_path / "reported.db"
    stop(deployment)
    change(damaged, statement)
    manifest = damaged.with_name("reported.db.json")
    if not has_manifest:
        manifest.unlink()
    before = data.read_bytes()

    for attempt in (lambda: check_backup(damaged), lambda: restore_backup(damaged, data, clock)):
        with pytest.raises(Error) as raised:
            attempt()
        assert raised.value.code == "backup-broken"
    assert data.read_bytes() == before
    assert not list(tmp_path.glob("coven.db.*before*"))


def test_rows_missing_at_the_end_show_against_what_lies_beside_the_copy(deployment, copy, tmp_path, data, clock):
    older = copy
    newer = tmp_path / "newer.db"
    write_backup(data, newer, clock)
    shutil.copy(older, newer)

    with pytest.raises(Error) as raised:
        check_backup(newer)
    assert raised.value.code == "backup-broken"
    document = json.loads(newer.with_name("newer.db.json").read_text())
    document["sha256"] = check_backup(older).origin.sha256
    newer.with_name("newer.db.json").write_text(json.dumps(document))
    with pytest.raises(Error, match="other accounts or logs"):
        check_backup(newer)


@pytest.mark.parametrize(
    ("content", "code"), [(b"", "database-unusable"), (b"x" * 9000, "backup-broken"), (None, "database-unusable")]
)
def test_what_is_no_copy_is_refused(tmp_path, content, code):
    path = tmp_path / "copy.db"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(Error) as raised:
        check_backup(path)

    assert raised.value.code == code


def test_half_a_copy_is_refused(copy):
    whole = copy.read_bytes()
    copy.write_bytes(whole[: len(whole) // 2])
    copy.with_name("copy.db.json").unlink()

    with pytest.raises(Error) as raised:
        check_backup(copy)

    assert raised.value.code == "backup-broken"


def test_a_copy_of_a_newer_version_is_refused(copy):
    change(copy, "UPDATE alembic_version SET version_num='9999'")
    copy.with_name("copy.db.json").unlink()

    with pytest.raises(Error) as raised:
        check_backup(copy)

    assert raised.value.code == "database-newer"


# --- restoring one


@pytest.fixture
def heads(deployment, copy, tenant):
    """What a run has witnessed: the head in the copy, and the one that the copy does not have."""
    return deployment.read(tenant, lambda reading: read_head(reading, deployment.signer))


def restore(deployment, copy, data, clock, **more):
    stop(deployment)
    return restore_backup(copy, data, clock, **more)


def test_a_restore_sets_the_database_aside_and_states_the_gap(deployment, copy, data, clock, tenant):
    rows = count_rows(data, "audit")

    restored = restore(deployment, copy, data, clock)

    stated = restored.reseals[tenant]
    copied = {account.tenant_id: account.audit_seq for account in restored.checked.accounts}
    assert (stated.stands_at, stated.seq) == (copied[tenant], copied[tenant] + 1)
    assert stated.origin == restored.checked.origin
    assert stated.origin.made_at == 1_000 * int(clock().timestamp()) - 3_600_000
    assert count_rows(restored.aside, "audit") == rows
    assert not get_mark(data).exists()
    with open_database(data) as database:
        assert database.write(tenant, find_reseals) == (stated,)
    assert check_backup(copy).has_manifest, "the copy itself stays as it is"


def test_a_restored_database_passes_the_check_itself(deployment, copy, data, clock, tmp_path):
    restore(deployment, copy, data, clock)

    assert len(write_backup(data, tmp_path / "again.db", clock).accounts) == 2


def test_witnesses_are_told_which_of_the_two_it_is(deployment, copy, data, clock, tenant, heads):
    """What was lost is excused; a history that was rewritten, and what was signed after the restore, is not."""
    restored = restore(deployment, copy, data, clock).reseals[tenant]
    inside = AuditHead(seq=restored.stands_at, head="0" * 64)
    later = heads.model_copy(update={"resealed": restored.at})

    with open_database(data) as database:
        verdicts = [
            database.write(tenant, lambda transaction, known=known: witness_head(transaction, known))
            for known in (heads, inside, later)
        ]

    assert verdicts == ["restored", "diverged", "diverged"]


def test_memory_waits_for_an_administrator_and_sessions_end(deployment, copy, data, clock, tenant, other_tenant):
    restored = restore(deployment, copy, data, clock)

    assert {number: each.memory for number, each in restored.reseals.items()} == {tenant: "held", other_tenant: "kept"}
    with open_database(data) as database:
        assert not database.write(tenant, read_versioned).policy.enabled
    assert count_rows(data, "sessions") == 0


def test_memory_stays_on_where_the_operator_says_so(deployment, copy, data, clock, tenant):
    restore(deployment, copy, data, clock, hold_memory=False)

    with open_database(data) as database:
        assert database.write(tenant, read_versioned).policy.enabled


def test_a_second_restore_is_a_second_row(deployment, copy, data, clock, tenant):
    restore(deployment, copy, data, clock)
    restored = restore_backup(copy, data, clock)

    assert restored.reseals[tenant].stands_at == check_backup(copy).accounts[0].audit_seq
    names = sorted(path.name for path in data.parent.glob("coven.db.before-*") if path.name.endswith(("Z", "Z.1")))
    assert len(names) == 2


def test_a_copy_of_a_restored_database_states_both(deployment, copy, data, clock, tenant, tmp_path):
    restore(deployment, copy, data, clock)
    write_backup(data, tmp_path / "second.db", clock)
    restore_backup(tmp_path / "second.db", data, clock)

    with open_database(data) as database:
        first, second = database.write(tenant, find_reseals)
    assert first.at < second.at
    assert first.seq < second.seq


def test_a_restore_onto_an_empty_place_needs_no_database(deployment, copy, tmp_path, clock):
    restored = restore(deployment, copy, tmp_path / "new.db", clock)

    assert restored.aside is None
    assert prepare_database(tmp_path / "new.db") == HEAD


def test_the_database_itself_is_no_copy(deployment, tenant, data, clock):
    stop(deployment)

    with pytest.raises(Error) as raised:
        restore_backup(data, data, clock)

    assert raised.value.code == "backup-broken"


# --- restores that are cut off


class Cut(Exception):
    """Raised where the process would have died."""


@pytest.mark.parametrize("renames", range(5))
def test_a_restore_that_is_cut_off_keeps_everybody_out_until_it_is_repeated(
    deployment, copy, data, clock, tenant, monkeypatch, renames, tmp_path
):
    """Cut before each rename: either nothing was replaced, or nobody may work on what is there."""
    with closing(pysqlite3.connect(str(data))) as held:
        # A reader that is there when the writer closes lets the log beside the database stay.
        held.execute("SELECT count(*) FROM audit").fetchone()
        stop(deployment)
    path_type = type(data)
    rename, left = path_type.rename, renames

    def cut(self, target):
        nonlocal left
        if not left:
            raise Cut
        left -= 1
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(path_type, "rename", cut)
        try:
            restore_backup(copy, data, clock)
            cut_off = False
        except Cut:
            cut_off = True

    if cut_off and get_mark(data).exists():
        for attempt in (lambda: prepare_database(data), lambda: open_database(data, create=True).__enter__()):
            with pytest.raises(Error) as raised:
                attempt()
            assert raised.value.code == "restore-unfinished"
    elif cut_off:
        with open_database(data) as database:
            assert database.write(tenant, find_reseals) == ()

    restored = restore_backup(copy, data, clock)

    assert check_whole(data, tmp_path, clock) == 2
    assert restored.reseals[tenant].stands_at == check_backup(copy).accounts[0].audit_seq


def check_whole(data, tmp_path, clock):
    return len(write_backup(data, tmp_path / "proof.db", clock).accounts)


def test_a_served_database_goes_on_from_a_restore(deployment, copy, data, clock, tenant):
    restored = restore(deployment, copy, data, clock)

    store = SQLiteStore(data, clock)
    sequence = deployment.runner.run(
        store.write(
            Command(
                tenant,
                lambda transaction: transaction.append_audit(actor="a", action="b", subject="c", detail={}),
            )
        )
    )
    deployment.runner.run(store.close())

    # The row of the restore, and that of the policy which holds memory.
    assert sequence == restored.reseals[tenant].seq + 2
