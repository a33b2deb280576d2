"""Every example runs, with real Bash and real curl, against a new server."""

import json
import os
import signal
import subprocess
from pathlib import Path

from tests.end_to_end.running import Server

EXAMPLES = Path(__file__).parents[2] / "examples"


def start(server: Server, script: str, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [EXAMPLES / script, *arguments],
        env={**os.environ, "SYNCNET_URL": server.url, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # so that a script and its child processes can be killed together
    )


def finished(process: "subprocess.Popen[str]") -> str:
    """Return what a script printed; its exit status must be 0."""
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out


def test_every_script_is_run_here() -> None:
    mentioned = Path(__file__).read_text()
    scripts = [str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*.sh")]
    assert len(scripts) >= 6
    assert [script for script in scripts if f'"{script}"' not in mentioned] == []


def test_vending_machine(fresh_server: Server) -> None:
    """Both scripts run concurrently, VM first; the graph log is that of semantics.md."""
    vm = start(fresh_server, "vending-machine/vm.sh")
    fresh_server.until_pending(1)
    customer = start(fresh_server, "vending-machine/customer.sh")
    printed = finished(vm)
    assert finished(customer) == printed
    coin, choc = map(json.loads, printed.splitlines())
    assert (coin["event"], coin["payloads"]) == ("coin", {"VM": "", "CUST": ""})
    assert set(choc["payloads"]) == {"VM", "CUST"}
    first, second = choc["payloads"]
    fresh_server.until_stdout(
        "┌─ VM:coin\n│┌ CUST:coin\n└└ CUST:coin VM:coin\n\n"
        f"┌─ {first}:choc\n│┌ {second}:choc\n└└ {second}:choc {first}:choc\n\n"
    )


def test_start_line(fresh_server: Server) -> None:
    runners = [start(fresh_server, "start-line/runner.sh", name) for name in ("ANNA", "BEN")]
    fresh_server.until_pending(2)
    assert all(runner.poll() is None for runner in runners)
    runners.append(start(fresh_server, "start-line/runner.sh", "CLARA"))
    assert [finished(runner) for runner in runners] == ["ANNA runs\n", "BEN runs\n", "CLARA runs\n"]


def test_a_runner_that_times_out_prints_the_missing_actors(fresh_server: Server) -> None:
    runner = start(fresh_server, "start-line/runner.sh", "ANNA", TIMEOUT="10ms")
    out, err = runner.communicate(timeout=60)
    assert runner.returncode != 0
    assert out == ""
    assert '"missing_actors":["BEN","CLARA"]' in err


def test_pairing(fresh_server: Server) -> None:
    """Five players of two games; only two pairs have similar ranks."""
    players = {}
    for number, (name, game, rank) in enumerate(
        [("ADA", "go", "1500"), ("BOB", "chess", "1500"), ("CAT", "go", "1900"), ("DAN", "go", "1450")], 1
    ):
        players[name] = start(fresh_server, "pairing/player.sh", name, game, rank)
        if number < 4:
            fresh_server.until_pending(number)
    fresh_server.until_pending(2)
    assert finished(players["ADA"]) == "ADA plays DAN\n"
    assert finished(players["DAN"]) == "DAN plays ADA\n"
    players["EVE"] = start(fresh_server, "pairing/player.sh", "EVE", "chess", "1599")
    assert finished(players["BOB"]) == "BOB plays EVE\n"
    assert finished(players["EVE"]) == "EVE plays BOB\n"
    assert set(fresh_server.stats()["match"]) == {"CAT"}
    os.killpg(players["CAT"].pid, signal.SIGKILL)
    players["CAT"].communicate(timeout=60)
    fresh_server.until_pending(0)


def test_call(fresh_server: Server) -> None:
    """Two callees compete for one caller: the first to arrive gets the call, the other is too late."""
    first = start(fresh_server, "call/callee.sh", "FAST")
    fresh_server.until_pending(1)
    second = start(fresh_server, "call/callee.sh", "SLOW", TIMEOUT="1s")
    fresh_server.until_pending(2)
    caller = start(fresh_server, "call/caller.sh")
    assert finished(caller) == "CALLER hears FAST: v=0 o=FAST 1 1 IN IP4 192.0.2.2\n"
    assert finished(first) == "FAST takes the call: v=0 o=caller 1 1 IN IP4 192.0.2.1\n"
    assert finished(second) == "SLOW was too late\n"
