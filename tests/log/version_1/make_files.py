"""Makes the files of this folder; to be run with the last code that wrote version 1 (see README.md).

`python make_files.py FOLDER` makes `FOLDER/with_snapshot` and `FOLDER/killed`, each with the journal and the state that
it holds, as `expected.json`.
"""

import importlib
import json
import os
import queue
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from syncnet.core.commands import Abort, Cause, Expire, Withdraw
from syncnet.core.limits import LIMITS, Limits
from syncnet.core.machine import Machine
from syncnet.core.selectors import parse_selector
from syncnet.log.journal import Journal

make_offer: Any = getattr(importlib.import_module("syncnet.core.commands"), "make_offer", None)
"""Where it was then; the functions that a test calls do not need it."""

START_NS = 1_700_000_000_000_000_000
SECOND_NS = 1_000_000_000
OTHER_LIMITS = Limits(trace_syncs_max=3, outcomes_max=50, payload_bytes_max=1_000)
SELECTORS = ["a in (b,c),!d,n>4,k notin (v,w),actor!=X", "a,b=c,b!=d,n<7,n>3", "", "x.y/z in (),q"]

OFFER_FIELDS = ["id", "at_ns", "namespace", "events", "actor", "mates", "roster", "labels"]
OFFER_FIELDS += ["timeout_ns", "linger_ns", "named", "owner"]
OUTCOME_FIELDS = [
    "at_ns",
    "namespace",
    "event",
    "sync",
    "cause",
    "present",
    "missing",
    "missing_actors",
    "by",
    "reason",
]


class Server:
    """A machine on a journal, without a network."""

    def __init__(self, folder: Path, limits: Limits, snapshot_commands: int) -> None:
        self.machine = Machine(limits)
        self.handed: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.journal = Journal(folder, self.handed.put, limits, snapshot_commands=snapshot_commands)
        self.answered = 0
        self.journal.open(self)  # type: ignore[arg-type]

    def deliver(self, command: Any) -> Any:
        self.answered += 1
        return self.machine.apply(command)

    def change_limits(self, limits: Limits) -> None:
        self.machine.change_limits(limits)

    def snapshot(self) -> Any:
        return self.machine.snapshot()

    def append(self, commands: list[Any]) -> None:
        """Append commands, and wait until they are delivered."""
        wanted = self.answered + len(commands)
        for command in commands:
            self.journal.append(command)
        while self.answered < wanted:
            self.handed.get(timeout=30)()


def commands_before() -> list[Any]:
    """Return commands that bring about outcomes of all kinds, and offers that stay pending."""
    now = START_NS
    made: list[Any] = [make_offer(at_ns=now, id="alone", events=["s"], actor="S", mates=0)]
    for number in range(3):  # syncs: one of two names, one of one, one without
        named = number < 2
        made.append(make_offer(at_ns=now + number, id=f"vm{number}", events=["coin"], actor="VM", named=named))
        made.append(make_offer(at_ns=now + number, id=f"c{number}", events=["coin"], actor="C", named=number == 0))
    for number, kind in enumerate(["late", "withdrawn", "lost", "aborted1", "aborted2"]):
        made.append(
            make_offer(
                at_ns=now + 10 + number,
                id=kind,
                events=["door", "gate"],
                actor=f"A{number}",
                mates=9,
                labels={"zone": "b", "app": ""},
                namespace="ci",
                timeout_s=2.5,
                linger_s=7,
                named=True,
                owner="team-a",
                payload=b'{"x": [1.50, null, "\\u00e4"]}',
            )
        )
    made.append(Expire(now + 3 * SECOND_NS, "ci", "late", now + 10))
    made.append(Withdraw(now + 3 * SECOND_NS, "ci", "withdrawn", Cause.WITHDRAWN, owner="team-a"))
    made.append(Withdraw(now + 3 * SECOND_NS, "ci", "lost", Cause.DISCONNECTED, now + 12))
    made.append(Abort(now + 3 * SECOND_NS, "ci", "gate", "", "", "ops", "the build was \u00e4ltered"))
    for number, selector in enumerate(SELECTORS):
        made.append(
            make_offer(
                at_ns=now + 4 * SECOND_NS,
                id=f"selecting{number}",
                events=["build", f"test{number}"],
                actor=f"B{number}",
                labels={"k": "other"},
                selector=parse_selector(selector),
                mates=5,
                timeout_s=None if number % 2 else 3_600,
                named=bool(number % 2),
                namespace="ci",
            )
        )
    roster = ["X", "Y", "Z"]
    made.append(make_offer(at_ns=now + 5 * SECOND_NS, id="roster", events=["r"], actor="X", expect=roster, named=True))
    return made


def commands_after() -> list[Any]:
    """Return commands that meet those that are pending."""
    now = START_NS + 6 * SECOND_NS
    roster = ["X", "Y", "Z"]
    made: list[Any] = [make_offer(at_ns=now, id="y", events=["r"], actor="Y", expect=roster, payload=b"[1,2]")]
    made.append(make_offer(at_ns=now, id="roster", events=["r"], actor="X", expect=roster, named=True))  # asks again
    made.append(make_offer(at_ns=now + 1, id="z", events=["r"], actor="Z", expect=roster, named=True))
    made.append(Withdraw(now + 2, "ci", "selecting0", Cause.WITHDRAWN))
    made.append(make_offer(at_ns=now + 3, id="waiting", events=["r"], actor="Y", expect=roster, linger_s=1.5))
    made.append(make_offer(at_ns=now + 3, id="last", events=["last"], actor="L", labels={"a": "1"}))
    return made


def offer_as_json(offer: Any) -> dict[str, Any]:
    """Return an offer as JSON values."""
    values = {name: getattr(offer, name) for name in OFFER_FIELDS}
    return {**values, "selector": str(offer.selector), "payload": offer.payload.decode()}


def outcome_as_json(outcome: Any) -> dict[str, Any]:
    """Return an outcome as JSON values."""
    values: dict[str, Any] = {"kind": type(outcome).__name__}
    for name in OUTCOME_FIELDS:
        if hasattr(outcome, name):
            values[name] = getattr(outcome, name)
    offers = outcome.members if hasattr(outcome, "members") else [outcome.offer]
    return {**values, "offers": [offer_as_json(offer) for offer in offers]}


def state_as_json(snapshot: Any) -> dict[str, Any]:
    """Return the state of a machine of version 1 as JSON values."""
    return {
        "syncs_forgotten": snapshot.syncs_forgotten,
        "limits": {name: getattr(snapshot.limits, name) for name in Limits.__dataclass_fields__},
        "namespaces": [
            {
                "namespace": world.namespace,
                "arrivals": world.arrivals,
                "syncs": world.syncs,
                "exhausted": world.misses,
                "pending": [{"arrival": arrival, **offer_as_json(offer)} for arrival, offer in world.standing],
            }
            for world in snapshot.worlds
        ],
        "outcomes": [outcome_as_json(outcome) for outcome in snapshot.outcomes],
        "trace": [
            {
                "at_ns": sync.at_ns,
                "namespace": sync.namespace,
                "event": sync.event,
                "sync": sync.sync,
                "members": [[each.id, each.actor, each.labels, len(each.payload)] for each in sync.members],
            }
            for sync in snapshot.trace
        ],
    }


def make(folder: Path, limits: Limits, snapshot_commands: int) -> None:
    """Make one file, and leave it open."""
    server = Server(folder, limits, snapshot_commands)
    server.append(commands_before())
    server.append(commands_after())
    (folder / "expected.json").write_text(json.dumps(state_as_json(server.snapshot()), indent=1) + "\n")
    if snapshot_commands < 1_000:
        server.journal.close()
    else:
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Make both files, each in a process of its own."""
    folder = Path(sys.argv[1])
    if len(sys.argv) > 2:
        make(folder, OTHER_LIMITS, 20) if sys.argv[2] == "with_snapshot" else make(folder, LIMITS, 10**9)
        return
    for name in ("with_snapshot", "killed"):
        subprocess.run([sys.executable, __file__, str(folder / name), name], check=False)


if __name__ == "__main__":
    main()
