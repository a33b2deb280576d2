"""G1, G2, G6, G7 and G9 while the server is killed, connections are cut and clients die: what the clients wrote agrees.

`SYNCNET_KILLS` says how many times a server is killed in each test (`make soak`: 200), and `SYNCNET_SEED` draws the
same numbers again; moments and the order of processes are those of the machine, so a seed makes alike runs, not the
same. A failing run leaves its files, and says where.
"""

import os
import random
import time

from tests.crash.scene import Scene

KILLS = int(os.environ.get("SYNCNET_KILLS", "6"))
SEED = os.environ.get("SYNCNET_SEED") or f"{random.randrange(10**9):09d}"
TASKS = 10


def test_g9_a_server_that_is_killed_loses_nothing_that_anybody_learned() -> None:
    with Scene(SEED) as scene:
        scene.start_server()
        for name in ("a.0", "b.0", "c.0"):
            scene.start_client(name, scene.port, TASKS)
        scene.kill_often(KILLS)
        scene.end_clients()
        scene.read_trace(again=True)
        summary = scene.check()
    print(scene.kills, "kills:", summary)  # noqa: T201 - shown where the test fails, or with -s
    assert summary["syncs"] > 10 * KILLS
    assert summary["larger_syncs"] > KILLS
    assert summary["asked_again_when_known"] > 10 * KILLS
    assert set(summary["ends"]) == {"sync", "timeout", "abort", "withdrawal"}


def test_g7_cut_connections_and_killed_clients_learn_the_same_as_all_others() -> None:
    with Scene(SEED) as scene:
        scene.start_server()
        port = scene.start_proxy()
        for name in ("a.0", "b.0", "c.0"):
            scene.start_client(name, port, TASKS)
        scene.start_client("d.0", port, TASKS)
        lives = {"a": 0, "b": 0, "d": 0}
        for _ in range(max(2, KILLS // 2)):
            scene.kill_often(1)
            time.sleep(scene.random.uniform(0, 0.7))
            name = scene.random.choice(sorted(lives))
            scene.kill_client(f"{name}.{lives[name]}")
            if name == "d":  # nobody goes on with what it asked
                del lives[name]
            else:
                lives[name] += 1
                scene.start_client(f"{name}.{lives[name]}", port, TASKS)
        scene.end_clients()
        scene.read_trace(again=True)
        cuts = scene.end_proxy()
        summary = scene.check()
    print(scene.kills, "kills:", cuts, summary)  # noqa: T201 - shown where the test fails, or with -s
    assert min(cuts[each] for each in ("cut", "half-close", "reset", "end", "pause")) > KILLS
    assert summary["syncs"] > 10 * KILLS
    assert summary["strays"] > 0
    assert set(summary["ends"]) >= {"sync", "timeout", "withdrawal"}
