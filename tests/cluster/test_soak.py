"""G1, G2, G6, G7 and G9 when nodes and servers of NATS are killed, stand still and are cut off.

`SYNCNET_CLUSTER_SOAK_S` is for how many seconds (`make soak`: 600). With `SYNCNET_CLUSTER_LINKS` each process has a
network namespace of its own, whose links are cut as well; that needs root. `SYNCNET_SEED` repeats the random numbers of
a run, not its timing. A failing run keeps its files and prints their folder.
"""

import os
import random

from tests.cluster.faults import ASKED_S_MAX, soaked

SECONDS = float(os.environ.get("SYNCNET_CLUSTER_SOAK_S", "8"))
LINKS = bool(os.environ.get("SYNCNET_CLUSTER_LINKS"))
SEED = os.environ.get("SYNCNET_SEED") or f"{random.randrange(10**9):09d}"
TASKS = 6


def test_g9_the_records_of_clients_agree_after_faults() -> None:
    with soaked(SEED, links=LINKS) as cluster:
        for name in ("a.0", "b.0", "c.0"):
            cluster.start_client(name, ",".join(cluster.addresses), TASKS)
        cluster.suffer(SECONDS)
        took_s = cluster.all_sync()
        cluster.until_ready()
        cluster.end_clients()
        cluster.read_traces()
        summary = cluster.check()
    print(cluster.faults, f"all synced {took_s:.1f} s after the faults;", summary)
    assert took_s < ASKED_S_MAX
    assert summary["syncs"] > 10
    assert set(summary["ends"]) == {"sync", "timeout", "abort", "withdrawal"}
