"""The local administrator's token: told once, kept as a hash, and worth something on this machine alone."""

from typing import Final

from sqlalchemy import delete, insert, select

from coven_action.core.records import sha256_hex
from coven_action.hosted.identifiers import Ids
from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import Reading
from coven_action.hosted.store.transaction import Transaction

ROW: Final = "admin_token_sha256"


def find_admin_token_sha256(reading: Reading | Transaction) -> str:
    """Return the hash of the token; empty where none was made."""
    columns = schema.deployment.c
    row = reading.fetch_one(select(columns.value).where(columns.name == ROW))
    return row.value if row is not None else ""


def make_admin_token(transaction: Transaction, ids: Ids) -> str:
    """Make a new token and return it. The older one ends with the server that knows it."""
    token = f"cva_{ids.token()}"
    transaction.execute(delete(schema.deployment).where(schema.deployment.c.name == ROW))
    transaction.execute(insert(schema.deployment).values(name=ROW, value=sha256_hex(token.encode())))
    return token


def make_first_admin_token(transaction: Transaction, ids: Ids) -> str | None:
    """Make a token where there is none yet, and return it; None where there is one."""
    return None if find_admin_token_sha256(transaction) else make_admin_token(transaction, ids)
