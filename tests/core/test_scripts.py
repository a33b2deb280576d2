"""The behaviour scripts in `scripts/`: commands, `----`, the effects that they have.

A command is `offer ID ACTOR EVENT|EVENT …` with `mates=`, `expect=`, `labels=`, `selector=`, `namespace=`, `payload=`,
`owner=`, `at=` and `timeout=` (seconds); `named …` is the same with an id that the client chose; or it is
`withdraw ID [SECONDS]`, `disconnect ID [SECONDS]`, `expire ID SECONDS`, or `abort event=…`, `actor=…` or `id=…` with
`by=` and `reason=`; `#` begins a comment. `pytest --rewrite` writes what came out into the scripts; read the diff.
"""

import shlex
from pathlib import Path

import pytest

from syncnet.core.commands import Cause, Command, Expire, Withdraw
from syncnet.core.effects import (
    Aborted,
    Attached,
    Effect,
    Pending,
    Refused,
    Replayed,
    SearchExhausted,
    Synced,
    TimedOut,
    Withdrawn,
)
from syncnet.core.machine import Machine
from syncnet.core.validation import make_abort
from syncnet.core.wording import who_was_missing
from tests.core.offers import offer

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.txt"))
RULE = "----"


def command(line: str) -> Command:
    verb, id, *words = shlex.split(line)
    match verb:
        case "abort":
            return make_abort(at_ns=0, **dict(word.split("=", 1) for word in (id, *words)))  # type: ignore[arg-type]
        case "offer" | "named":
            actor, events, *options = words
            given = dict(option.split("=", 1) for option in options)
            made = offer(
                actor,
                *events.split("|"),
                id=id,
                mates=int(given.pop("mates")) if "mates" in given else None,
                expect=given.pop("expect").split(",") if "expect" in given else None,
                labels=dict(pair.split("=") for pair in given.pop("labels").split(",")) if "labels" in given else None,
                selector=given.pop("selector", None),
                namespace=given.pop("namespace", "default"),
                payload=given.pop("payload", '""').encode(),
                at_ns=int(given.pop("at", "0")) * 1_000_000_000,
                timeout_s=float(given.pop("timeout")) if "timeout" in given else None,
                owner=given.pop("owner", ""),
                named=verb == "named",
            )
            assert not given, f"no such option: {line}"
            return made
        case "withdraw":
            return Withdraw(_ns(words), "default", id, Cause.WITHDRAWN)
        case "disconnect":
            return Withdraw(_ns(words), "default", id, Cause.DISCONNECTED)
        case "expire":
            return Expire(int(words[0]) * 1_000_000_000, "default", id)
        case _:
            raise AssertionError(f"no such command: {line}")


def _ns(words: list[str]) -> int:
    return int(words[0]) * 1_000_000_000 if words else 0


def written(effect: Effect) -> str:
    match effect:
        case Pending(offer):
            return f"pending {offer.arrival} {offer.id}"
        case Synced():
            return f"synced {effect.sync} {effect.event}: {' '.join(member.id for member in effect.members)}"
        case Withdrawn(_, offer, cause):
            return f"{cause} {offer.id}"
        case TimedOut(at_ns, offer, present, missing):
            waited = (at_ns - offer.at_ns) // 1_000_000_000
            who = who_was_missing(effect)
            who = who if f"missing: {missing}" in who else f"{who}; missing: {missing}"
            who += "".join(f"\n  {each.reason}" for each in effect.reasons)
            return f"timed out {offer.id} after {waited} s; present: {' '.join(present) or '-'}; {who}"
        case SearchExhausted(_, offer, event, steps):
            return f"missed {offer.id} {event} after {steps} steps"
        case Aborted(_, offer, by, reason):
            return f"aborted {offer.id} by {by}: {reason}"
        case Attached(offer):
            return f"attached {offer.id}"
        case Replayed(offer, outcome):
            return f"replayed {offer.id}: {written(outcome)}"
        case Refused(offer, code, _):
            return f"refused {offer.id} {code}"


def run(script: str) -> str:
    """Return the script with the effects that its commands have now."""
    machine = Machine()
    out: list[str] = []
    effects: list[str] = []
    expecting = False
    for line in [*script.splitlines(), ""]:
        if expecting and line:
            continue  # an effect that was expected before
        if expecting:
            out += effects
            effects, expecting = [], False
        out.append(line)
        if line == RULE:
            expecting = True
        elif line and not line.startswith("#"):
            effects += map(written, machine.apply(command(line)))
    assert not effects, "the script ends with commands that have no rule after them"
    return "\n".join(out).rstrip("\n") + "\n"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_script(path: Path, pytestconfig: pytest.Config) -> None:
    script = path.read_text()
    assert RULE in script
    now = run(script)
    if pytestconfig.getoption("rewrite"):
        path.write_text(now)
    else:
        assert now == script


def test_there_are_scripts() -> None:
    assert SCRIPTS
