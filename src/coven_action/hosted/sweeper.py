"""Sweep every tenant from time to time, and count yesterday's use again once a day, as long as the endpoint lives.

Of the processes that serve one database, one sweeps: whoever comes first when a round is due. Another does when it has gone.
An account that cannot be swept is logged and counted, and keeps nobody after it waiting.
"""

import asyncio
import logging
from datetime import timedelta
from typing import Final, NamedTuple

from coven_action.hosted.endpoint import Endpoint
from coven_action.hosted.services.metering import find_differences
from coven_action.hosted.services.retention import Swept, begin_round, list_tenants, sweep
from coven_action.hosted.store.commands import Command, StoreUnavailable

SWEEP_SECONDS: Final = 600.0
"""Between the end of a round and the beginning of the next. What has expired is not offered in the meantime."""

_DUE: Final = 0.9
"""From this share of the interval on a round is due: a clock that is set a little keeps nobody waiting for another interval."""

log = logging.getLogger("coven_action.hosted")


async def sweep_tenant(endpoint: Endpoint, tenant_id: int) -> list[Swept]:
    """Sweep one tenant until nothing is left; each batch is a command of its own, between those of others."""
    swept: list[Swept] = []
    while not swept or swept[-1].more:
        swept.append(await endpoint.store.write(Command(tenant_id, sweep)))
    return swept


class Round(NamedTuple):
    """What a sweep of every tenant did.

    Args:
        swept: What it took from each.
        failed: Those that could not be swept, or whose use could not be counted again. The log says why.
    """

    swept: dict[int, list[Swept]]
    failed: tuple[int, ...]


async def sweep_all(endpoint: Endpoint) -> Round:
    """Sweep every tenant once, and count again what it used; go on where one of them cannot be."""
    swept, failed = {}, []
    for tenant_id in await endpoint.store.read(0, list_tenants):
        try:
            swept[tenant_id] = await sweep_tenant(endpoint, tenant_id)
            await check_meters(endpoint, tenant_id)
        except StoreUnavailable as error:
            log.warning("Account %s waits for the next sweep: %s.", tenant_id, error.reason)
            failed.append(tenant_id)
        except Exception:
            log.exception("Account %s could not be swept; the others are.", tenant_id)
            failed.append(tenant_id)
    endpoint.metrics.sweep_failures.inc(len(failed))
    return Round(swept, tuple(failed))


async def check_store(endpoint: Endpoint) -> None:
    """Say in the log and in the metrics what of the database an operator should look at."""
    troubles = await endpoint.store.read(0, endpoint.store.find_trouble)
    for trouble in troubles:
        log.error(trouble)
    endpoint.metrics.store_troubles.set(len(troubles))


async def check_meters(endpoint: Endpoint, tenant_id: int) -> int:
    """Count yesterday's use again, once, and return how many counters differ from the audit log; each is logged."""
    yesterday = (endpoint.clock() - timedelta(days=1)).strftime("%Y-%m-%d")
    if endpoint.recounted.get(tenant_id) == yesterday:
        return 0
    differences = await endpoint.store.read(tenant_id, lambda reading: find_differences(reading, yesterday))
    for each in differences:
        log.error(
            "The counter %s of account %s on %s says %s, and its audit log %s.",
            each.measure, tenant_id, yesterday, each.counted, each.logged,
        )  # fmt: skip
    endpoint.metrics.meter_differences.inc(len(differences))
    endpoint.recounted[tenant_id] = yesterday
    return len(differences)


async def keep_sweeping(endpoint: Endpoint, interval: float = SWEEP_SECONDS) -> None:
    """Wait, sweep every tenant, and begin again, until cancelled. Whatever goes wrong is tried again the next time."""
    milliseconds = int(interval * 1000 * _DUE)
    while True:
        await asyncio.sleep(interval)
        try:
            if await endpoint.store.write(Command(0, lambda transaction: begin_round(transaction, milliseconds))):
                await sweep_all(endpoint)
            await check_store(endpoint)
        except StoreUnavailable as error:
            log.warning("The sweep waits for the next round: %s.", error.reason)
        except Exception:
            log.exception("The sweep failed; the endpoint goes on.")
