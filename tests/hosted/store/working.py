"""What the tests of stores do with one: commands one after the other and in groups, and what they look at."""

import asyncio
import contextlib
import threading

from sqlalchemy import select, update

from coven_action.hosted.store import schema
from coven_action.hosted.store.commands import Command
from coven_action.hosted.store.transaction import IdempotencyKey

FIRST = IdempotencyKey("route", "key-1", "a" * 64)


def append(transaction):
    return transaction.append_event("note", {})


def read_audit(deployment, tenant_id):
    columns = schema.audit.c
    statement = select(schema.audit).where(columns.tenant_id == tenant_id).order_by(columns.sequence)
    return deployment.read(tenant_id, lambda reading: reading.fetch_all(statement))


def read_sequences(deployment, tenant_id):
    columns = schema.run_events.c
    statement = select(columns.sequence).where(columns.tenant_id == tenant_id).order_by(columns.sequence)
    return [row.sequence for row in deployment.read(tenant_id, lambda reading: reading.fetch_all(statement))]


@contextlib.asynccontextmanager
async def hold_writer(store, tenant_id=0, *, appending=False):
    """Keep whoever writes for a tenant busy: what comes meanwhile waits, and is one group afterwards.

    With `appending` that is whoever writes for several tenants at a time.
    """
    begun, gate = threading.Event(), threading.Event()

    def wait(_):
        begun.set()
        gate.wait(10)

    holding = asyncio.ensure_future(store.write(Command(tenant_id, wait, appending=appending)))
    await asyncio.to_thread(begun.wait, 10)
    yield
    gate.set()
    await holding


async def send(store, *commands):
    """Let commands wait in the store, and return what waits for each of them."""
    sent = [asyncio.ensure_future(store.write(command)) for command in commands]
    await asyncio.sleep(0)
    return sent


def write_group(deployment, *commands):
    """Write commands as one group, and return what each of them gave or raised."""

    async def gather():
        async with hold_writer(deployment.store, commands[0].tenant_id):
            sent = await send(deployment.store, *commands)
        return await asyncio.gather(*sent, return_exceptions=True)

    return deployment.runner.run(gather())


def set_login(tenant_id, login):
    return update(schema.tenants).where(schema.tenants.c.tenant_id == tenant_id).values(account_login=login)


def get_login(deployment, tenant_id):
    statement = select(schema.tenants.c.account_login).where(schema.tenants.c.tenant_id == tenant_id)
    return deployment.read(tenant_id, lambda reading: reading.fetch_one(statement)).account_login
