"""Copy the database of a serving endpoint, and put a copy in its place: checked whole before, and stated in the log after.

A copy is one file, as of one moment, made while the endpoint goes on; beside it lies what it is said to be. To restore it
is to lose what came after it, and that is written where it cannot be overlooked: into the audit log of every account. The
database that was there is set aside and never deleted. A restore that is cut off leaves a mark that keeps the endpoint from
starting on half of one; to restore again finishes it.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

import pysqlite3
from pydantic import ValidationError
from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from coven_action.core.endpoint.wire import Count, Digest, Wire
from coven_action.core.records import canonical_json
from coven_action.errors import Error
from coven_action.hosted.operating import Operator, open_file
from coven_action.hosted.restore_mark import get_mark
from coven_action.hosted.services.reseal import CopyOrigin, Reseal, reseal_accounts
from coven_action.hosted.services.self_check import AccountCheck, DataBroken, check_account
from coven_action.hosted.store import schema
from coven_action.hosted.store.migrations import HEAD, read_version
from coven_action.hosted.store.reading import ConnectionReading
from coven_action.hosted.store.sqlite import open_engine
from coven_action.hosted.store.transaction import to_milliseconds

Clock = Callable[[], datetime]
KIND: Final = "coven-action/backup"
_PART: Final = ".part"
_MANIFEST: Final = ".json"
_COMPANIONS: Final = ("-wal", "-shm")
_READ_AT_ONCE: Final = 1 << 20


class Backup(Wire):
    """What a copy is said to be.

    Args:
        kind: That it is one of ours.
        made_at: When, in milliseconds since 1970.
        tables: The version of its tables.
        sha256: Of its file.
        accounts: What was found of each account, when the copy was made.
    """

    kind: Literal["coven-action/backup"] = KIND
    made_at: Count
    tables: str
    sha256: Digest
    accounts: tuple[AccountCheck, ...]


class CheckedCopy(Wire):
    """A copy that is whole.

    Args:
        origin: When it was made, where that is known, and its digest.
        tables: The version of its tables.
        accounts: What was found of each account.
        has_manifest: Whether it was held against what it is said to be.
    """

    origin: CopyOrigin
    tables: str
    accounts: tuple[AccountCheck, ...]
    has_manifest: bool


class Restored(Wire):
    """What a restore did.

    Args:
        checked: The copy.
        reseals: By account, what its audit log states now.
        aside: Where the database lies that was there before; None where there was none.
    """

    checked: CheckedCopy
    reseals: dict[int, Reseal]
    aside: str | None


def write_backup(data: Path, target: Path, clock: Clock) -> Backup:
    """Copy a database, beside a server or without one, and check the copy.

    Args:
        data: The database.
        target: The copy's file, which must not exist; what it is said to be lies beside it, with `.json` after its name.
        clock: Tells the time.

    Raises:
        Error: `backup-exists`; `backup-broken`: the database itself is damaged; `database-unusable`.
    """
    _refuse_overwriting(target)
    made_at = to_milliseconds(clock())
    part = target.with_name(f"{target.name}{_PART}")
    try:
        copy_database(data, part)
        tables, accounts = _check_file(part)
        backup = Backup(made_at=made_at, tables=tables, sha256=_hash_file(part), accounts=accounts)
        # What a copy is said to be is there before the copy: a copy without it would be checked against less.
        _write_manifest(_name_manifest(target), backup)
        part.rename(target)
        _sync_folder(target.parent)
    finally:
        part.unlink(missing_ok=True)
    return backup


def check_backup(source: Path) -> CheckedCopy:
    """Check a copy without changing anything.

    Raises:
        Error: `backup-broken`: it is not what it is said to be, or what was once written; `database-unusable`,
            `database-newer`.
    """
    backup = _read_manifest(_name_manifest(source))
    sha256 = _hash_file(source)
    if backup is not None and backup.sha256 != sha256:
        raise Error("backup-broken", f"{source} has another digest than {_name_manifest(source).name} says.")
    tables, accounts = _check_file(source)
    if backup is not None and backup.accounts != accounts:
        raise Error("backup-broken", f"{source} holds other accounts or logs than {_name_manifest(source).name} says.")
    origin = CopyOrigin(made_at=backup.made_at if backup else None, sha256=sha256)
    return CheckedCopy(origin=origin, tables=tables, accounts=accounts, has_manifest=backup is not None)


def restore_backup(source: Path, data: Path, clock: Clock, *, hold_memory: bool = True) -> Restored:
    """Put a copy in the place of the database, which nobody serves meanwhile (`server.hold_database`).

    Args:
        source: The copy; it stays as it is.
        data: The database.
        clock: Tells the time.
        hold_memory: Whether memory is turned off until an administrator has looked at it.

    Raises:
        Error: As `check_backup`; nothing was replaced.
    """
    if data.exists() and source.samefile(data):
        raise Error("backup-broken", f"{source} is the database itself.")
    checked = check_backup(source)
    part, mark = data.with_name(f"{data.name}{_PART}"), get_mark(data)
    try:
        copy_database(source, part)
        reseals = _reseal_file(part, checked, clock, hold_memory=hold_memory)
        _sync_file(part)
        # From here on the copy is complete, and is the next database whatever happens.
        part.rename(mark)
        _sync_folder(data.parent)
    finally:
        part.unlink(missing_ok=True)
    aside = _set_aside(data, clock())
    mark.rename(data)
    _sync_folder(data.parent)
    return Restored(checked=checked, reseals=reseals, aside=None if aside is None else str(aside))


def copy_database(source: Path, target: Path) -> None:
    """Copy a database as of one moment into a new file of one piece, which only its owner reads.

    The copy is one step of SQLite's own: a writer in another process goes on meanwhile and does not make it begin again.
    https://sqlite.org/backup.html

    Raises:
        Error: `database-unusable`.
    """
    if not source.is_file():
        raise Error("database-unusable", f"There is no database at {source}.")
    target.unlink(missing_ok=True)
    try:
        os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        with closing(_connect(source)) as reading, closing(_connect(target)) as writing:
            reading.backup(writing, pages=-1)
            # Of one piece: no log beside it that would have to travel with it.
            writing.execute("PRAGMA journal_mode=DELETE")
    except (pysqlite3.Error, OSError) as error:
        raise Error("database-unusable", f"{source} cannot be copied to {target}: {error}.") from error
    _sync_file(target)


def _connect(path: Path) -> Any:
    return pysqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=rw", uri=True, isolation_level=None)


def _refuse_overwriting(target: Path) -> None:
    for path in (target, _name_manifest(target)):
        if path.exists():
            raise Error("backup-exists", f"{path} is there already.")
    if not target.parent.is_dir():
        raise Error("database-unusable", f"There is no folder {target.parent} to put the copy into.")


def _check_file(path: Path) -> tuple[str, tuple[AccountCheck, ...]]:
    """Return the version of a database's tables and what was found of each account."""
    with _open_for_reading(path) as engine:
        try:
            with engine.connect() as connection, connection.begin():
                return _check_connection(connection, path)
        except DBAPIError as error:
            raise Error("backup-broken", f"{path} cannot be read: {error.orig}.") from error
        except DataBroken as broken:
            raise Error("backup-broken", f"{path}: {broken}.") from broken


def _check_connection(connection: Connection, path: Path) -> tuple[str, tuple[AccountCheck, ...]]:
    (found, *_), *_ = connection.exec_driver_sql("PRAGMA integrity_check(1)").fetchall()
    if found != "ok":
        raise DataBroken(f"SQLite finds it damaged: {found}")
    orphan = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if orphan is not None:
        raise DataBroken(f"a row of {orphan[0]} refers to one that is missing")
    tables = read_version(connection)
    if tables is None:
        raise Error("database-unusable", f"{path} is no database of the endpoint.")
    if tables > HEAD:
        raise Error("database-newer", f"{path} has the tables of version {tables}, and this program those of {HEAD}.")
    numbers = connection.execute(select(schema.tenants.c.tenant_id).order_by("tenant_id")).scalars().all()
    return tables, tuple(check_account(ConnectionReading(connection, number, 0)) for number in numbers)


@contextmanager
def _open_for_reading(path: Path) -> Iterator[Engine]:
    engine = open_engine(path, ("query_only=ON",), "BEGIN", poolclass=StaticPool)
    try:
        yield engine
    finally:
        engine.dispose()


def _reseal_file(path: Path, checked: CheckedCopy, clock: Clock, *, hold_memory: bool) -> dict[int, Reseal]:
    """Bring a copy to this version's tables and state in it that it is one; leave it of one piece."""
    tenants = tuple(account.tenant_id for account in checked.accounts)
    with open_file(path) as begin:
        reseals = reseal_accounts(Operator(begin, clock), tenants, checked.origin, hold_memory=hold_memory)
    with closing(_connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
    return reseals


def _set_aside(data: Path, now: datetime) -> Path | None:
    """Give what is there another name, together with what lies beside it; return the name."""
    if not data.exists():
        # What an earlier try has moved away already may have left its log here, which is no log of the copy's.
        _move_companions(data, data.with_name(_name_aside(data, now)))
        return None
    aside = data.with_name(_name_aside(data, now))
    _move_companions(data, aside)
    data.rename(aside)
    return aside


def _move_companions(data: Path, aside: Path) -> None:
    for ending in _COMPANIONS:
        beside = data.with_name(f"{data.name}{ending}")
        if beside.exists():
            beside.rename(aside.with_name(f"{aside.name}{ending}"))


def _name_aside(data: Path, now: datetime) -> str:
    name = f"{data.name}.before-{now:%Y%m%dT%H%M%SZ}"
    taken = {path.name for path in data.parent.iterdir()}
    return next(
        candidate
        for number in range(len(taken) + 1)
        if (candidate := f"{name}.{number}" if number else name) not in taken
    )


def _name_manifest(path: Path) -> Path:
    return path.with_name(f"{path.name}{_MANIFEST}")


def _write_manifest(path: Path, backup: Backup) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(canonical_json(backup.model_dump(mode="json")))
        file.flush()
        os.fsync(file.fileno())


def _read_manifest(path: Path) -> Backup | None:
    try:
        return Backup.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise Error("backup-broken", f"{path} does not say what the copy is.") from error


def _hash_file(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while read := file.read(_READ_AT_ONCE):
                digest.update(read)
    except OSError as error:
        raise Error("database-unusable", f"The file {path} cannot be read: {error.strerror}.") from error
    return digest.hexdigest()


def _sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    _sync_file(folder)
