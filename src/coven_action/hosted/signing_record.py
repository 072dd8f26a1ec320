"""Which key signs the heads of the audit logs, recorded in the database: replicas that sign with different ones are refused."""

import base64
from typing import Final

from sqlalchemy import delete, insert, select

from coven_action.errors import EnvironmentFault
from coven_action.hosted.signing import SigningKey
from coven_action.hosted.store import schema
from coven_action.hosted.store.transaction import Transaction

ROW: Final = "signing_key"


def check_signing_key(transaction: Transaction, signer: SigningKey) -> None:
    """Record the key of the first start, and refuse another one from then on.

    Raises:
        EnvironmentFault: `signing-key-differs`.
    """
    columns = schema.deployment.c
    row = transaction.fetch_one(select(columns.value).where(columns.name == ROW))
    public_key = base64.b64encode(signer.public_key).decode()
    if row is None:
        record_signing_key(transaction, signer)
    elif row.value != public_key:
        raise EnvironmentFault(
            "signing-key-differs", f"The database names the key {row.value}, and the file {public_key}."
        )


def record_signing_key(transaction: Transaction, signer: SigningKey) -> None:
    """Let the deployment sign with this key from its next start on."""
    transaction.execute(delete(schema.deployment).where(schema.deployment.c.name == ROW))
    public_key = base64.b64encode(signer.public_key).decode()
    transaction.execute(insert(schema.deployment).values(name=ROW, value=public_key))
