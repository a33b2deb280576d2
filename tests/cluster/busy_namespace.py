"""A namespace where much has happened: `python -m tests.cluster.busy_namespace NATS_URLS NAMESPACE SYNCS LEASE`.

It takes part in the cluster as a node without a server: offers over HTTP would take many times as long.
"""

from __future__ import annotations

import asyncio
import sys

from syncnet.cli.clustering import Clustering
from syncnet.core.limits import LIMITS
from tests.core.offers import offer

OFFERS_AT_ONCE = 5_000


async def fill(urls: str, namespace: str, syncs: int, lease_s: float) -> None:
    """Let many offers that need no mates sync in a namespace."""
    clustering = Clustering(
        cluster=urls,
        cluster_name="syncnet",
        shards=1,
        lease=lease_s,
        replicas=None,
        nats_credentials=None,
        nats_monitor=None,
        require_durable=False,
        node_name=None,
    )
    member = await clustering.join(urls, LIMITS, [])
    coordinator = member.coordinator
    ready = asyncio.Event()
    coordinator.when_ready(namespace, lambda _: ready.set())
    await ready.wait()
    made = 0
    while (missing := syncs - coordinator.machine.totals(namespace)[1]) > 0:  # some may be refused on a slow machine
        for _ in range(min(missing, OFFERS_AT_ONCE)):
            made += 1
            coordinator.offer(offer("A", id=f"{made}", mates=0, namespace=namespace))
        while not coordinator.is_idle:
            await asyncio.sleep(0.005)
    coordinator.leave()
    while not coordinator.is_idle:
        await asyncio.sleep(0.005)
    coordinator.close()
    await member.stream.close()


if __name__ == "__main__":
    asyncio.run(fill(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
