"""The fixtures for pytest, as the tests of another project get them."""

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

OTHERS_TESTS = """
import json
import urllib.request

def test_a_fresh_world(syncnet_world):
    waiting = syncnet_world.send("coin", actor="VM")
    assert syncnet_world.blocking.sync("coin", actor="CUST").number == 1
    assert waiting.result(0).leader

def test_another_world(syncnet_world):
    assert syncnet_world.blocking.stats() == {}
    assert syncnet_world.blocking.sync("coin", actor="CUST", mates=0).number == 1

def test_a_live_server(syncnet_server):
    with urllib.request.urlopen(syncnet_server.url + "/event?event=coin&actor=VM&mates=0") as answer:
        assert json.load(answer)["sync"] == 1
"""


def test_the_fixtures_come_with_the_package(tmp_path: Path) -> None:
    (entry,) = (each for each in entry_points(group="pytest11") if each.name == "syncnet")
    assert entry.value == "syncnet.testing.plugin"
    (tmp_path / "test_others.py").write_text(OTHERS_TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", str(tmp_path)]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert "3 passed" in ran.stdout, ran.stdout + ran.stderr


def test_the_plugin_loads_nothing_before_it_is_asked() -> None:
    code = (
        "import pytest, sys; import syncnet.testing.plugin; print([m for m in sys.modules if m.startswith('syncnet.')])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.strip() == "['syncnet.errors', 'syncnet.testing', 'syncnet.testing.plugin']"
