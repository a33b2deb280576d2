"""G1 to G9 in a cluster with all kinds of faults, over simulated time: what `make sim` does for more seeds.

A failure names its seed: `make sim SEED=n` replays it and prints all that happens.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from syncnet.server.build import build
from syncnet.testing.simulator import simulate
from syncnet.testing.simulator.__main__ import main
from tests.testing.planted import IN_COMPILED_MODULES, IN_THE_LOG, Plant

SEEDS = 200
SEEDS_AT_ONCE = 20
SEEDS_TO_FIND_A_BUG = 300
PLANTED = IN_THE_LOG if build() == "compiled" else IN_THE_LOG + IN_COMPILED_MODULES


@pytest.mark.parametrize("first", range(0, SEEDS, SEEDS_AT_ONCE))
def test_no_seed_violates_a_guarantee(first: int) -> None:
    reports = [simulate(seed) for seed in range(first, first + SEEDS_AT_ONCE)]
    assert [str(report) for report in reports if report.violations] == []
    assert sum(report.syncs_total for report in reports) > SEEDS_AT_ONCE


def test_a_seed_replays_to_the_letter() -> None:
    code = (
        "import json; from syncnet.testing.simulator import simulate; "
        "print(json.dumps([[r.digest, r.events_total] for r in map(simulate, range(5))]))"
    )
    outputs = [
        json.loads(
            subprocess.run(
                [sys.executable, "-c", code],
                env={**os.environ, "PYTHONHASHSEED": hash_seed},
                capture_output=True,
                check=True,
                text=True,
            ).stdout
        )
        for hash_seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1] == [[r.digest, r.events_total] for r in map(simulate, range(5))]


def test_a_seed_is_printed_with_all_that_happens(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["7"]) == 0
    printed = capsys.readouterr().out
    assert "stream stores" in printed
    assert "seed 7: 0 violations" in printed


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.apply.__name__)
def test_a_planted_bug_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant.apply(monkeypatch)
    seeds = range(plant.first_seed, plant.first_seed + SEEDS_TO_FIND_A_BUG)
    assert any(simulate(seed).violations for seed in seeds)
