"""Journals of version 1 load, become ones of version 2, and continue; see `version_1/README.md`."""

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from syncnet.core.limits import LIMITS, Limits
from syncnet.core.selectors import parse_selector
from syncnet.core.snapshot import Snapshot
from syncnet.log.journal_file import FILE_NAME
from tests.core.offers import offer
from tests.log.test_journal import Kept, nothing_is_left_open
from tests.log.version_1.make_files import OTHER_LIMITS, offer_as_json, outcome_as_json

__all__ = ["nothing_is_left_open"]

FILES = Path(__file__).parent / "version_1"
LATER_LIMITS = {"yaml_bytes_max", "yaml_answer_bytes_max"}
"""Limits that version 1 did not have."""
LIMITS_OF = {"with_snapshot": OTHER_LIMITS, "killed": LIMITS}


def state_as_json(snapshot: Snapshot) -> Any:
    """The state in the form of `expected.json`."""
    state = {
        "syncs_forgotten": snapshot.syncs_forgotten,
        "limits": {
            name: getattr(snapshot.limits, name) for name in Limits.__dataclass_fields__ if name not in LATER_LIMITS
        },
        "namespaces": [
            {
                "namespace": each.namespace,
                "arrivals": each.arrivals,
                "syncs": each.syncs,
                "exhausted": each.exhausted,
                "pending": [{"arrival": one.arrival, **offer_as_json(one)} for one in each.pending],
            }
            for each in snapshot.namespaces
        ],
        "outcomes": [outcome_as_json(outcome) for outcome in snapshot.outcomes],
        "trace": [
            {
                "at_ns": sync.at_ns,
                "namespace": sync.namespace,
                "event": sync.event,
                "sync": sync.sync,
                "members": sync.members,
            }
            for sync in snapshot.trace
        ],
    }
    return json.loads(json.dumps(state))


def with_selector_as_today(values: dict[str, Any]) -> dict[str, Any]:
    """Print selectors as this version does; that one wrote `k in ()` for `k=`."""
    if "selector" in values:
        values["selector"] = str(parse_selector(values["selector"]))
    return values


@pytest.fixture(params=["with_snapshot", "killed"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(tmp_path: Path, name: str) -> Path:
    shutil.copytree(FILES / name, tmp_path / name)
    return tmp_path / name


def version(folder: Path) -> int:
    database = sqlite3.connect(folder / FILE_NAME)
    found: int = database.execute("PRAGMA user_version").fetchone()[0]
    database.close()
    return found


def test_a_file_of_version_1_holds_what_it_held(folder: Path, name: str) -> None:
    expected = json.loads((folder / "expected.json").read_text(), object_hook=with_selector_as_today)
    kept = Kept(folder, LIMITS_OF[name])
    assert state_as_json(kept.snapshot()) == expected
    assert {outcome["kind"] for outcome in expected["outcomes"]} == {"Synced", "TimedOut", "Withdrawn", "Aborted"}
    kept.close()


def test_it_becomes_one_of_version_2_at_once_and_continues(folder: Path, name: str) -> None:
    assert version(folder) == 1
    kept = Kept(folder, LIMITS_OF[name])
    first = kept.snapshot()
    kept.crash()
    assert version(folder) == 2
    kept = Kept(folder, LIMITS_OF[name])
    assert kept.snapshot() == first
    kept.append(*(offer("S", id=f"s{number}", mates=0, named=True) for number in range(30)))
    kept.append(offer("X", "r", id="x", expect=["X", "Y", "Z"]), offer("Z", "r", id="z2", expect=["X", "Y", "Z"]))
    assert kept.machine.totals("default")[1] == 5 + 30 + 1, "the roster that was pending is complete"
    last = kept.snapshot()
    kept.crash()
    assert Kept(folder, LIMITS_OF[name]).snapshot() == last


def test_other_limits_hold_from_then_on(folder: Path) -> None:
    kept = Kept(folder, Limits(trace_syncs_max=1))
    assert [sync.sync for sync in kept.snapshot().trace] == [5]
    kept.crash()
    assert [sync.sync for sync in Kept(folder, Limits(trace_syncs_max=1)).snapshot().trace] == [5]


def test_a_damaged_file_of_version_1_is_left_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    shutil.copytree(FILES / "with_snapshot", folder)
    database = sqlite3.connect(folder / FILE_NAME)
    database.execute("UPDATE command SET record = x'4f80'")
    database.commit()
    database.close()
    with pytest.raises(Exception, match="is damaged: a record cannot be read"):
        Kept(folder, OTHER_LIMITS)
    assert version(folder) == 1
