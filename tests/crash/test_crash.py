"""G1, G2, G6, G7 and G9 when a server is killed, connections are cut and clients die: the records of the clients agree.

`SYNCNET_KILLS` is the number of kills of a server in each test (`make soak`: 200). `SYNCNET_SEED` repeats the random
numbers of a run; timing and the order of processes still differ, so a seed gives a similar run, not the same one. A
failing run keeps its files and prints their folder.
"""

import os
import random
import time

from tests.crash.processes import Processes

KILLS = int(os.environ.get("SYNCNET_KILLS", "6"))
SEED = os.environ.get("SYNCNET_SEED") or f"{random.randrange(10**9):09d}"
TASKS = 10


def test_g9_a_killed_server_loses_no_outcome_that_a_client_got() -> None:
    with Processes(SEED) as processes:
        processes.start_server()
        for name in ("a.0", "b.0", "c.0"):
            processes.start_client(name, processes.address, TASKS)
        processes.kill_often(KILLS)
        processes.end_clients()
        processes.read_trace(all_syncs=True)
        summary = processes.check()
    print(processes.kills, "kills:", summary)
    assert summary["syncs"] > 10 * KILLS
    assert summary["larger_syncs"] > KILLS
    assert summary["repeated_after_outcome"] > 10 * KILLS
    assert set(summary["ends"]) == {"sync", "timeout", "abort", "withdrawal"}


def test_g7_clients_get_the_same_outcomes_when_connections_are_cut_and_clients_killed() -> None:
    with Processes(SEED) as processes:
        processes.start_server()
        proxy = processes.start_proxy()
        for name in ("a.0", "b.0", "c.0"):
            processes.start_client(name, proxy, TASKS)
        processes.start_client("d.0", proxy, TASKS)
        generations = {"a": 0, "b": 0, "d": 0}
        for _ in range(max(2, KILLS // 2)):
            processes.kill_often(1)
            time.sleep(processes.random.uniform(0, 0.7))
            name = processes.random.choice(sorted(generations))
            processes.kill_client(f"{name}.{generations[name]}")
            if name == "d":  # no other client continues with its offers
                del generations[name]
            else:
                generations[name] += 1
                processes.start_client(f"{name}.{generations[name]}", proxy, TASKS)
        processes.end_clients()
        processes.read_trace(all_syncs=True)
        cuts = processes.end_proxy()
        summary = processes.check()
    print(processes.kills, "kills:", cuts, summary)
    assert min(cuts[each] for each in ("cut", "half-close", "reset", "end", "pause")) > KILLS
    assert summary["syncs"] > 10 * KILLS
    assert summary["abandoned"] > 0
    assert set(summary["ends"]) >= {"sync", "timeout", "withdrawal"}
